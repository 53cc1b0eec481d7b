"""Where a tensor of diffusers lies in a checkpoint of the original layout: its name there, and how it is turned.

UNet, autoencoder    https://github.com/CompVis/latent-diffusion, https://github.com/Stability-AI/generative-models
OpenCLIP             https://github.com/mlfoundations/open_clip: queries, keys and values below each other in one tensor

The same functions serve writing and reading: the names of diffusers are known in both.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from tunesmith.export.picture_names import legacy, to_compvis

Turn = Literal["same", "kernel", "transposed", "swapped"]


@dataclass(frozen=True, slots=True)
class Seat:
    """The place of one tensor."""

    name: str
    turn: Turn = "same"
    place: int = 0  # among those that lie below each other in one tensor


Seats = Callable[[str], Seat | None]
"""From the name of a tensor in diffusers to its place; None for one that the original layout does not hold."""

_VAE = (
    ("mid_block.resnets.0.", "mid.block_1."),
    ("mid_block.resnets.1.", "mid.block_2."),
    ("mid_block.attentions.0.", "mid.attn_1."),
    ("downsamplers.0.conv.", "downsample.conv."),
    ("upsamplers.0.conv.", "upsample.conv."),
    ("conv_norm_out.", "norm_out."),
    ("conv_shortcut.", "nin_shortcut."),
    (".resnets.", ".block."),
)
_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out",
              "query": "q", "key": "k", "value": "v", "proj_attn": "proj_out"}  # fmt: skip
_BLOCK = re.compile(r"(down|up)_blocks\.(\d+)\.")
_OPEN_LAYER = re.compile(r"encoder\.layers\.(\d+)\.(.+)")
_OPEN = {
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
_OPEN_ALONE = {
    "embeddings.token_embedding.weight": Seat("token_embedding.weight"),
    "embeddings.position_embedding.weight": Seat("positional_embedding"),
    "final_layer_norm.weight": Seat("ln_final.weight"),
    "final_layer_norm.bias": Seat("ln_final.bias"),
    "text_projection.weight": Seat("text_projection", "transposed"),
}
_QKV = re.compile(r"self_attn\.([qkv])_proj\.(weight|bias)")


def of_unet(config: Mapping[str, Any]) -> Seats:
    kinds = config["up_block_types"]
    attends = frozenset(f"up_blocks.{place}" for place, kind in enumerate(kinds) if "Attn" in kind)

    def seat(name: str) -> Seat | None:
        module, _, end = name.rpartition(".")
        found = to_compvis(module, int(config["layers_per_block"]), attends)
        return None if found is None else Seat(f"{found}.{end}")

    return seat


def of_autoencoder(config: Mapping[str, Any]) -> Seats:
    count = len(config["block_out_channels"])

    def numbered(match: re.Match[str]) -> str:
        number = int(match[2]) if match[1] == "down" else count - 1 - int(match[2])
        return f"{match[1]}.{number}."

    def seat(name: str) -> Seat | None:
        for new, old in _VAE:
            name = name.replace(new, old)
        name = _BLOCK.sub(numbered, name)
        if ".attn_1." not in name:
            return Seat(name)
        block, _, rest = name.partition(".attn_1.")
        module, _, end = rest.rpartition(".")
        if module not in _ATTENTION:
            return None
        linear = end == "weight" and module != "group_norm"  # a convolution of one place there
        return Seat(f"{block}.attn_1.{_ATTENTION[module]}.{end}", "kernel" if linear else "same")

    return seat


def of_clip(name: str) -> Seat | None:
    """The layout of transformers itself, with the `text_model` that newer versions leave out."""
    return None if "position_ids" in name else Seat(legacy("text_encoder", name.removeprefix("text_model.")))


def of_open_clip(name: str) -> Seat | None:
    name = name.removeprefix("text_model.")
    if name in _OPEN_ALONE:
        return _OPEN_ALONE[name]
    if (found := _OPEN_LAYER.fullmatch(name)) is None:
        return None
    layer, rest = f"transformer.resblocks.{found[1]}.", found[2]
    if fused := _QKV.fullmatch(rest):
        return Seat(f"{layer}attn.in_proj_{fused[2]}", place="qkv".index(fused[1]))
    module, _, end = rest.rpartition(".")
    return Seat(f"{layer}{_OPEN[module]}.{end}") if module in _OPEN else None


def of_t5(name: str) -> Seat | None:
    return None if name == "encoder.embed_tokens.weight" else Seat(name)  # the same tensor as `shared.weight`


def turned(tensor: Tensor, turn: Turn) -> Tensor:
    """-> the tensor as the original layout has it."""
    return tensor[..., None, None] if turn == "kernel" and tensor.ndim == 2 else _either(tensor, turn)


def turned_back(tensor: Tensor, turn: Turn) -> Tensor:
    """-> the tensor as diffusers has it."""
    return tensor.flatten(1) if turn == "kernel" else _either(tensor, turn)


def _either(tensor: Tensor, turn: Turn) -> Tensor:
    """What is its own reverse."""
    if turn == "transposed":
        return tensor.mT.contiguous()
    return torch.cat([*reversed(tensor.chunk(2))]) if turn == "swapped" else tensor
