"""Tiny image models of every family, and an adapter of ours in them: one prediction and what the text encoders say."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from tunesmith.export.diffusion_adapter import named_for, read_adapter_pictures
from tunesmith.methods.loha import LoHa
from tunesmith.methods.lokr import LoKr
from tunesmith.methods.lora import LoRA
from tunesmith.methods.stored import load_stored

WIDTH = 32
TOKENS = torch.randint(3, 90, (2, 9), generator=torch.Generator().manual_seed(5))


def _clip(kind: type[nn.Module] = CLIPTextModel) -> Any:
    sizes = {"vocab_size": 99, "hidden_size": WIDTH, "intermediate_size": 48, "num_hidden_layers": 2}
    more = {"num_attention_heads": 2, "projection_dim": WIDTH, "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
    return kind(CLIPTextConfig(**sizes, **more, max_position_embeddings=77))


def _unet(**more: Any) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 64),
        layers_per_block=more.pop("layers_per_block", 1),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=8,
        norm_num_groups=8,
        **{"cross_attention_dim": WIDTH, **more},
    )


def _vae(layers: int = 1) -> AutoencoderKL:
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    return AutoencoderKL(block_out_channels=(16, 32), layers_per_block=layers, norm_num_groups=8, **blocks)


def sd1() -> Any:
    return StableDiffusionPipeline(
        vae=_vae(), text_encoder=_clip(), tokenizer=None, unet=_unet(), scheduler=DDIMScheduler(),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def sdxl() -> Any:
    more = {"addition_embed_type": "text_time", "addition_time_embed_dim": 8, "use_linear_projection": True}
    unet = _unet(
        cross_attention_dim=2 * WIDTH, projection_class_embeddings_input_dim=6 * 8 + WIDTH, layers_per_block=2, **more
    )
    return StableDiffusionXLPipeline(
        vae=_vae(), text_encoder=_clip(), text_encoder_2=_clip(CLIPTextModelWithProjection), tokenizer=None,
        tokenizer_2=None, unet=unet, scheduler=DDIMScheduler(),
    )  # fmt: skip


def sd3() -> Any:
    transformer = SD3Transformer2DModel(
        sample_size=8, patch_size=1, in_channels=4, num_layers=2, attention_head_dim=8, num_attention_heads=4,
        joint_attention_dim=WIDTH, caption_projection_dim=WIDTH, pooled_projection_dim=64, out_channels=4,
    )  # fmt: skip
    return StableDiffusion3Pipeline(
        transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(), vae=_vae(),
        text_encoder=_clip(CLIPTextModelWithProjection), tokenizer=None,
        text_encoder_2=_clip(CLIPTextModelWithProjection), tokenizer_2=None, text_encoder_3=None, tokenizer_3=None,
    )  # fmt: skip


def flux() -> Any:
    transformer = FluxTransformer2DModel(
        patch_size=1, in_channels=4, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=WIDTH, pooled_projection_dim=WIDTH, axes_dims_rope=[4, 4, 8],
    )  # fmt: skip
    return FluxPipeline(
        transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(), vae=_vae(), text_encoder=_clip(),
        tokenizer=None, text_encoder_2=None, tokenizer_2=None,
    )  # fmt: skip


MAKERS: Mapping[str, Callable[[], Any]] = {"sd1": sd1, "sdxl": sdxl, "sd3": sd3, "flux": flux}
PARTS = {
    "sd1": ("unet", "text_encoder"),
    "sdxl": ("unet", "text_encoder", "text_encoder_2"),
    "sd3": ("transformer", "text_encoder", "text_encoder_2"),
    "flux": ("transformer", "text_encoder"),
}


def pipeline(family: str) -> Any:
    """-> a new pipeline, the same numbers each time."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        made = MAKERS[family]()
    for name in PARTS[family]:
        getattr(made, name).eval()
    return made


@cache
def _inputs(family: str) -> dict[str, Any]:
    draw = torch.Generator().manual_seed(9)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw)

    if family == "sd1":
        return {
            "sample": noise(2, 4, 8, 8),
            "timestep": torch.tensor([5, 500]),
            "encoder_hidden_states": noise(2, 9, 32),
        }
    if family == "sdxl":
        added = {"text_embeds": noise(2, WIDTH), "time_ids": 8 * torch.ones(2, 6)}
        return {"sample": noise(2, 4, 8, 8), "timestep": torch.tensor([5, 500]), "added_cond_kwargs": added,
                "encoder_hidden_states": noise(2, 9, 64)}  # fmt: skip
    if family == "sd3":
        return {"hidden_states": noise(2, 4, 8, 8), "encoder_hidden_states": noise(2, 9, WIDTH),
                "pooled_projections": noise(2, 64), "timestep": torch.tensor([5, 500])}  # fmt: skip
    return {"hidden_states": noise(2, 16, 4), "encoder_hidden_states": noise(2, 9, WIDTH),
            "pooled_projections": noise(2, WIDTH), "timestep": torch.tensor([0.1, 0.5]), "txt_ids": torch.zeros(9, 3),
            "img_ids": torch.arange(48.0).reshape(16, 3)}  # fmt: skip


@torch.no_grad()
def outputs(family: str, parts: Any) -> dict[str, Tensor]:
    """-> what each part makes of fixed inputs. `parts`: a pipeline."""
    found = {}
    for name in PARTS[family]:
        network = getattr(parts, name).eval()
        if name.startswith("text"):
            found[name] = network(TOKENS, output_hidden_states=True).hidden_states[-1]
        else:
            found[name] = network(**_inputs(family)).sample
    return found


def far(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> dict[str, float]:
    """Largest difference of each part as a share of the largest value."""
    return {name: ((a[name] - b[name]).abs().max() / b[name].abs().max()).item() for name in b}


def stir(network: nn.Module, seed: int = 1) -> None:
    """Give everything that trains random values, as if it had been trained hard."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=draw))


def attached(
    family: str, methods: Mapping[str, Any]
) -> tuple[Any, dict[str, dict[str, Tensor]], dict[str, dict[str, Any]]]:
    """-> a pipeline with a stirred method in some of its parts, what the methods store and what they describe."""
    made = pipeline(family)
    stored, described = {}, {}
    for part, method in methods.items():
        network = getattr(made, part)
        with torch.random.fork_rng():
            torch.manual_seed(7)
            method.attach(network)
        stir(network)
        stored[part], described[part] = method.stored(network), method.described(network)
    return made, stored, described


METHODS: Mapping[str, Any] = {"LORA": LoRA, "LOHA": LoHa, "LOKR": LoKr}


def read_by_us(family: str, path: Path) -> Any:
    """-> a new pipeline with the adapter of a folder or file attached by us."""
    made = pipeline(family)
    parts, described = read_adapter_pictures(path)
    for part, tensors in parts.items():
        network = getattr(made, part)
        named, config = named_for(network, tensors, described[part])
        method = METHODS[config["peft_type"]].from_peft(config, network)
        method.attach(network)
        load_stored(method, network, named)
    return made


def read_by_diffusers(family: str, file: Path) -> Any:
    made = pipeline(family)
    made.load_lora_weights(str(file.parent), weight_name=file.name)
    return made
