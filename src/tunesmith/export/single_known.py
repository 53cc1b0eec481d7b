"""What a checkpoint in one file does not say of itself: the configurations of the models that were published.

Sizes are read from the shapes of the tensors where they differ within a family (blocks, heads, widths); what shapes do
not show (heads of UNets, activations, schedules) are the published numbers of the family.
"""

from collections.abc import Mapping
from typing import Any

from tunesmith.export.single_layout import V_PREDICTION, ZERO_SNR, Family

Shapes = Mapping[str, tuple[int, ...]]
Files = dict[str, dict[str, Any]]
"""The path in a folder of diffusers: a configuration."""

_CLIP_L = {
    "architectures": ["CLIPTextModel"], "model_type": "clip_text_model", "hidden_size": 768, "intermediate_size": 3072,
    "num_hidden_layers": 12, "num_attention_heads": 12, "max_position_embeddings": 77, "vocab_size": 49408,
    "hidden_act": "quick_gelu", "projection_dim": 768, "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1,
}  # fmt: skip
_OPEN_H = {**_CLIP_L, "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23,
           "num_attention_heads": 16, "hidden_act": "gelu", "projection_dim": 512}  # fmt: skip
_OPEN_G = {**_CLIP_L, "architectures": ["CLIPTextModelWithProjection"], "hidden_size": 1280,
           "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20, "hidden_act": "gelu",
           "projection_dim": 1280}  # fmt: skip
_T5_XXL = {
    "architectures": ["T5EncoderModel"], "model_type": "t5", "d_model": 4096, "d_kv": 64, "d_ff": 10240,
    "num_layers": 24, "num_heads": 64, "vocab_size": 32128, "feed_forward_proj": "gated-gelu",
    "relative_attention_num_buckets": 32, "relative_attention_max_distance": 128, "layer_norm_epsilon": 1e-6,
    "tie_word_embeddings": False, "is_encoder_decoder": True, "eos_token_id": 1, "pad_token_id": 0,
}  # fmt: skip
_VAE = {
    "_class_name": "AutoencoderKL", "block_out_channels": [128, 256, 512, 512], "layers_per_block": 2,
    "latent_channels": 4, "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4,
    "scaling_factor": 0.18215, "sample_size": 512,
}  # fmt: skip
_VAE_16 = {**_VAE, "latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False, "sample_size": 1024}
_UNET = {
    "_class_name": "UNet2DConditionModel", "sample_size": 64, "block_out_channels": [320, 640, 1280, 1280],
    "layers_per_block": 2, "cross_attention_dim": 768, "attention_head_dim": 8,
    "down_block_types": [*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"],
    "up_block_types": ["UpBlock2D", *["CrossAttnUpBlock2D"] * 3],
}  # fmt: skip
_UNET_XL = {
    **_UNET, "sample_size": 128, "block_out_channels": [320, 640, 1280], "cross_attention_dim": 2048,
    "attention_head_dim": [5, 10, 20], "transformer_layers_per_block": [1, 2, 10], "use_linear_projection": True,
    "addition_embed_type": "text_time", "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 2816,
    "down_block_types": ["DownBlock2D", *["CrossAttnDownBlock2D"] * 2],
    "up_block_types": [*["CrossAttnUpBlock2D"] * 2, "UpBlock2D"],
}  # fmt: skip
_STEPS = {
    "_class_name": "DDIMScheduler", "num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012,
    "beta_schedule": "scaled_linear", "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1,
}  # fmt: skip


def known(family: Family, shapes: Shapes, v_prediction: bool) -> Files:
    """-> the configurations of every part and of the schedule. `v_prediction`: of SD 2, which shapes do not show."""
    makers = {"sd1": _sd1, "sd2": _sd2, "sdxl": _sdxl, "sd3": _sd3, "flux": _flux}
    found = makers[family](shapes)
    if family in ("sd2", "sdxl") and (v_prediction or V_PREDICTION in shapes):
        found["scheduler/scheduler_config.json"]["prediction_type"] = "v_prediction"
        if ZERO_SNR in shapes:
            found["scheduler/scheduler_config.json"]["rescale_betas_zero_snr"] = True
        if family == "sd2":
            found["unet/config.json"]["sample_size"] = 96
    return found


def _folder(pipeline: str, parts: Mapping[str, dict[str, Any]], **noise: Any) -> Files:
    index: dict[str, Any] = {"_class_name": pipeline, "scheduler": ["diffusers", noise["_class_name"]]}
    files: Files = {"scheduler/scheduler_config.json": noise}
    for part, config in parts.items():
        kind = config.get("_class_name") or config["architectures"][0]
        index[part] = ["transformers" if "architectures" in config else "diffusers", kind]
        if part.startswith("text_encoder"):
            words = "T5TokenizerFast" if kind.startswith("T5") else "CLIPTokenizer"
            index[part.replace("text_encoder", "tokenizer")] = ["transformers", words]
        files[f"{part}/config.json"] = dict(config)
    if pipeline == "StableDiffusionPipeline":
        index |= {"safety_checker": [None, None], "feature_extractor": [None, None], "requires_safety_checker": False}
    return {"model_index.json": index, **files}


def _sd1(shapes: Shapes) -> Files:
    return _folder("StableDiffusionPipeline", {"unet": _UNET, "vae": _VAE, "text_encoder": _CLIP_L}, **_STEPS)


def _sd2(shapes: Shapes) -> Files:
    unet = {**_UNET, "cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20], "use_linear_projection": True}
    return _folder("StableDiffusionPipeline", {"unet": unet, "vae": _VAE, "text_encoder": _OPEN_H}, **_STEPS)


def _sdxl(shapes: Shapes) -> Files:
    vae = {**_VAE, "scaling_factor": 0.13025, "sample_size": 1024, "force_upcast": True}
    parts = {"unet": _UNET_XL, "vae": vae, "text_encoder": _CLIP_L, "text_encoder_2": _OPEN_G}
    return _folder("StableDiffusionXLPipeline", parts, **_STEPS)


def _sd3(shapes: Shapes) -> Files:
    own = {name.removeprefix("model.diffusion_model."): shape for name, shape in shapes.items()}
    width, places = own["x_embedder.proj.weight"][0], own["pos_embed"][1]
    transformer = {
        "_class_name": "SD3Transformer2DModel", "sample_size": 128, "patch_size": 2, "in_channels": 16,
        "out_channels": 16, "num_layers": _blocks(own, "joint_blocks."), "attention_head_dim": 64,
        "num_attention_heads": width // 64, "caption_projection_dim": width,
        "joint_attention_dim": own["context_embedder.weight"][1],
        "pooled_projection_dim": own["y_embedder.mlp.0.weight"][1], "pos_embed_max_size": round(places**0.5),
        "qk_norm": "rms_norm" if "joint_blocks.0.x_block.attn.ln_q.weight" in own else None,
        "dual_attention_layers": [n for n in range(_blocks(own, "joint_blocks."))
                                  if f"joint_blocks.{n}.x_block.attn2.qkv.weight" in own],
    }  # fmt: skip
    vae = {**_VAE_16, "scaling_factor": 1.5305, "shift_factor": 0.0609}
    clip = {**_CLIP_L, "architectures": ["CLIPTextModelWithProjection"]}
    parts = {"transformer": transformer, "vae": vae, "text_encoder": clip, "text_encoder_2": _OPEN_G,
             "text_encoder_3": _T5_XXL}  # fmt: skip
    return _folder("StableDiffusion3Pipeline", parts, **_FLOW)


def _flux(shapes: Shapes) -> Files:
    own = {name.removeprefix("model.diffusion_model."): shape for name, shape in shapes.items()}
    width, guided = own["img_in.weight"][0], "guidance_in.in_layer.weight" in own
    transformer = {
        "_class_name": "FluxTransformer2DModel", "patch_size": 1, "in_channels": own["img_in.weight"][1],
        "num_layers": _blocks(own, "double_blocks."), "num_single_layers": _blocks(own, "single_blocks."),
        "attention_head_dim": 128, "num_attention_heads": width // 128, "guidance_embeds": guided,
        "joint_attention_dim": own["txt_in.weight"][1], "pooled_projection_dim": own["vector_in.in_layer.weight"][1],
        "axes_dims_rope": [16, 56, 56],
    }  # fmt: skip
    vae = {**_VAE_16, "scaling_factor": 0.3611, "shift_factor": 0.1159}
    # The distilled one (schnell), which is told no guidance, was made for a schedule that is not moved.
    moved = {"shift": 3.0, "use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15,
             "base_image_seq_len": 256, "max_image_seq_len": 4096} if guided else {"shift": 1.0}  # fmt: skip
    parts = {"transformer": transformer, "vae": vae, "text_encoder": _CLIP_L, "text_encoder_2": _T5_XXL}
    return _folder("FluxPipeline", parts, **{**_FLOW, **moved})


_FLOW = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0}


def _blocks(names: Mapping[str, object], prefix: str) -> int:
    numbers = (name.removeprefix(prefix).partition(".")[0] for name in names if name.startswith(prefix))
    return max(int(number) for number in numbers if number.isdigit()) + 1
