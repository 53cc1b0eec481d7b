"""Tiny image models of each family, random and saved as people save them: the test matrix of pictures."""

from pathlib import Path
from typing import Any

import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

FAMILIES = ("sd", "sd-v", "sdxl", "sd3", "flux")


def tiny_words() -> CLIPTokenizer:
    """Every byte is a token, with CLIP's mark for the end of a word."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: place for place, word in enumerate(words)}, merges=[], model_max_length=16)


def _encoder(kind: type[Any], width: int = 16, layers: int = 2) -> Any:
    config = CLIPTextConfig(
        vocab_size=514, hidden_size=width, intermediate_size=32, num_hidden_layers=layers, num_attention_heads=2,
        max_position_embeddings=16, bos_token_id=512, eos_token_id=513, pad_token_id=513, projection_dim=width,
    )  # fmt: skip
    return kind(config)


def _autoencoder(**more: Any) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(8, 8), layers_per_block=1,
        norm_num_groups=4, scaling_factor=0.5, sample_size=16,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, **more,
    )  # fmt: skip


def tiny_unet(width: int, **more: Any) -> Any:
    """`width`: of what it is told."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, block_out_channels=(8, 16), layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=width, attention_head_dim=4, norm_num_groups=4, **more,
    )  # fmt: skip


def _tiny_t5() -> tuple[Any, Any]:
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    letters = [(letter, -1.0) for letter in "▁abcdefghijklmnopqrstuvwxyz,."]
    tokenizer = T5Tokenizer(
        vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *letters], extra_ids=0, model_max_length=16
    )
    config = T5Config(vocab_size=64, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    return tokenizer, T5EncoderModel(config)


def _flowing(family: str) -> Any:
    import diffusers

    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    tokenizer, t5 = _tiny_t5()
    vae = _autoencoder(shift_factor=0.1)
    if family == "sd3":
        transformer = diffusers.SD3Transformer2DModel(
            sample_size=8, patch_size=1, in_channels=4, out_channels=4, num_layers=1, attention_head_dim=8,
            num_attention_heads=4, joint_attention_dim=32, caption_projection_dim=32, pooled_projection_dim=32,
            pos_embed_max_size=16,
        )  # fmt: skip
        return diffusers.StableDiffusion3Pipeline(
            transformer=transformer, scheduler=scheduler, vae=vae, tokenizer=tiny_words(), tokenizer_2=tiny_words(),
            text_encoder=_encoder(CLIPTextModelWithProjection), text_encoder_2=_encoder(CLIPTextModelWithProjection),
            tokenizer_3=tokenizer, text_encoder_3=t5,
        )  # fmt: skip
    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=16, axes_dims_rope=(4, 4, 8), guidance_embeds=True,
    )  # fmt: skip
    return diffusers.FluxPipeline(
        transformer=transformer, scheduler=scheduler, vae=vae, tokenizer=tiny_words(), tokenizer_2=tokenizer,
        text_encoder=_encoder(CLIPTextModel), text_encoder_2=t5,
    )  # fmt: skip


def tiny_sd2(folder: Path) -> Path:
    """Write a tiny model as SD 2 is: with a wide encoder of OpenCLIP's and linear projections."""
    import diffusers

    torch.manual_seed(7)
    made = diffusers.StableDiffusionPipeline(
        vae=_autoencoder(), tokenizer=tiny_words(), unet=tiny_unet(1024, use_linear_projection=True),
        scheduler=diffusers.DDIMScheduler(prediction_type="v_prediction"),
        text_encoder=_encoder(CLIPTextModel, 1024, 1),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    made.save_pretrained(folder)
    return folder


def tiny_pipeline(family: str, folder: Path) -> Path:
    """Write a model of `family` to `folder`. The same numbers each time."""
    import diffusers

    torch.manual_seed(7)
    if family in ("sd3", "flux"):
        _flowing(family).save_pretrained(folder)
        return folder
    steps = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
    if family == "sd-v":
        steps |= {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    scheduler = diffusers.DDIMScheduler(**steps, timestep_spacing="trailing", clip_sample=False, set_alpha_to_one=False)
    shared = {"vae": _autoencoder(), "tokenizer": tiny_words(), "scheduler": scheduler}
    if family == "sdxl":
        made = diffusers.StableDiffusionXLPipeline(
            **shared,
            unet=tiny_unet(32, addition_embed_type="text_time", addition_time_embed_dim=4,
                       projection_class_embeddings_input_dim=6 * 4 + 16),
            text_encoder=_encoder(CLIPTextModel),
            text_encoder_2=_encoder(CLIPTextModelWithProjection),
            tokenizer_2=tiny_words(),
            add_watermarker=False,
        )  # fmt: skip
    else:
        made = diffusers.StableDiffusionPipeline(
            **shared,
            unet=tiny_unet(16),
            text_encoder=_encoder(CLIPTextModel),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    made.save_pretrained(folder)
    return folder
