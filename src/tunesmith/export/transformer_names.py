"""The modules of SD 3's and FLUX's transformers as their authors name them: `Seat`s of modules, not of tensors.

SD 3    https://github.com/Stability-AI/sd3.5         joint_blocks.0.x_block.attn.qkv
FLUX    https://github.com/black-forest-labs/flux     double_blocks.0.img_attn.qkv, single_blocks.0.linear1

Queries, keys and values lie below each other in one matrix; in the last modulation shift stands before scale.
"""

import re
from collections.abc import Mapping
from typing import Any

from tunesmith.export.seats import Seat, Seats

_TIMES = {"linear_1": 0, "linear_2": 2}
_QKV = {"to_q": 0, "to_k": 1, "to_v": 2, "add_q_proj": 0, "add_k_proj": 1, "add_v_proj": 2}
_BLOCK = re.compile(r"(single_)?transformer_blocks\.(\d+)\.(.+)")
_SD3_ALONE = {
    "pos_embed.proj": "x_embedder.proj",
    "context_embedder": "context_embedder",
    "proj_out": "final_layer.linear",
}
_SD3 = {
    "attn.to_out.0": "x_block.attn.proj",
    "attn.to_add_out": "context_block.attn.proj",
    "attn2.to_out.0": "x_block.attn2.proj",
    "attn.norm_q": "x_block.attn.ln_q",
    "attn.norm_k": "x_block.attn.ln_k",
    "attn.norm_added_q": "context_block.attn.ln_q",
    "attn.norm_added_k": "context_block.attn.ln_k",
    "attn2.norm_q": "x_block.attn2.ln_q",
    "attn2.norm_k": "x_block.attn2.ln_k",
    "norm1.linear": "x_block.adaLN_modulation.1",
    "norm1_context.linear": "context_block.adaLN_modulation.1",
    "ff.net.0.proj": "x_block.mlp.fc1",
    "ff.net.2": "x_block.mlp.fc2",
    "ff_context.net.0.proj": "context_block.mlp.fc1",
    "ff_context.net.2": "context_block.mlp.fc2",
}
_FLUX_ALONE = {
    "x_embedder": "img_in",
    "context_embedder": "txt_in",
    "proj_out": "final_layer.linear",
    **{
        f"time_text_embed.{new}_embedder.linear_{place}": f"{old}_in.{layer}"
        for new, old in (("timestep", "time"), ("text", "vector"), ("guidance", "guidance"))
        for place, layer in ((1, "in_layer"), (2, "out_layer"))
    },
}
_FLUX = {
    "attn.to_out.0": "img_attn.proj",
    "attn.to_add_out": "txt_attn.proj",
    "attn.norm_q": "img_attn.norm.query_norm",
    "attn.norm_k": "img_attn.norm.key_norm",
    "attn.norm_added_q": "txt_attn.norm.query_norm",
    "attn.norm_added_k": "txt_attn.norm.key_norm",
    "norm1.linear": "img_mod.lin",
    "norm1_context.linear": "txt_mod.lin",
    "ff.net.0.proj": "img_mlp.0",
    "ff.net.2": "img_mlp.2",
    "ff_context.net.0.proj": "txt_mlp.0",
    "ff_context.net.2": "txt_mlp.2",
}
_SINGLE = {
    "attn.to_q": Seat("linear1", place=0),
    "attn.to_k": Seat("linear1", place=1),
    "attn.to_v": Seat("linear1", place=2),
    "proj_mlp": Seat("linear1", place=3),
    "proj_out": Seat("linear2"),
    "norm.linear": Seat("modulation.lin"),
    "attn.norm_q": Seat("norm.query_norm"),
    "attn.norm_k": Seat("norm.key_norm"),
}
FLUX_MODULES = (
    "norm_out.linear",
    *_FLUX_ALONE,
    *("transformer_blocks.{}." + rest for rest in (*_FLUX, *("attn." + one for one in _QKV))),
    *("single_transformer_blocks.{}." + rest for rest in _SINGLE),
)
SD3_MODULES = (
    "norm_out.linear",
    *_SD3_ALONE,
    *(f"time_text_embed.{kind}_embedder.{one}" for kind in ("timestep", "text") for one in _TIMES),
    *("transformer_blocks.{}." + rest for rest in (*_SD3, *("attn." + one for one in _QKV), "attn2.to_q", "attn2.to_k",
                                                   "attn2.to_v")),
)  # fmt: skip
"""The modules of diffusers that have a place, `{}` for the number of a block."""


def sd3_module(name: str, layers: int | None = None) -> Seat | None:
    """-> where the authors have a module. `layers`: how many blocks there are; the last treats the prompt otherwise.

    Without `layers` that one module, which no adapter of ours can name alone, has no place.
    """
    if name == "norm_out.linear":
        return Seat("final_layer.adaLN_modulation.1", "swapped")
    if name in _SD3_ALONE:
        return Seat(_SD3_ALONE[name])
    if name.startswith("time_text_embed."):
        _, kind, linear = name.split(".")
        return Seat(f"{'t' if kind == 'timestep_embedder' else 'y'}_embedder.mlp.{_TIMES[linear]}")
    if (found := _BLOCK.fullmatch(name)) is None or found[1]:
        return None
    block, rest = f"joint_blocks.{found[2]}.", found[3]
    attention, _, last = rest.rpartition(".")
    if last in _QKV and attention in ("attn", "attn2"):
        side = "context_block" if last.startswith("add_") else "x_block"
        return Seat(f"{block}{side}.{attention}.qkv", place=_QKV[last])
    if rest not in _SD3 or (rest == "norm1_context.linear" and layers is None):
        return None
    final = rest == "norm1_context.linear" and int(found[2]) + 1 == layers
    return Seat(block + _SD3[rest], "swapped" if final else "same")


def flux_module(name: str) -> Seat | None:
    """-> where the authors have a module."""
    if name == "norm_out.linear":
        return Seat("final_layer.adaLN_modulation.1", "swapped")
    if name in _FLUX_ALONE:
        return Seat(_FLUX_ALONE[name])
    if (found := _BLOCK.fullmatch(name)) is None:
        return None
    rest = found[3]
    if found[1]:
        inside = _SINGLE.get(rest)
        return None if inside is None else Seat(f"single_blocks.{found[2]}.{inside.name}", place=inside.place)
    block = f"double_blocks.{found[2]}."
    last = rest.removeprefix("attn.")
    if rest.startswith("attn.") and last in _QKV:
        return Seat(f"{block}{'txt' if last.startswith('add_') else 'img'}_attn.qkv", place=_QKV[last])
    return Seat(block + _FLUX[rest]) if rest in _FLUX else None


def of_sd3(config: Mapping[str, Any]) -> Seats:
    """The places of tensors."""
    layers = int(config["num_layers"])

    def seat(name: str) -> Seat | None:
        if name == "pos_embed.pos_embed":
            return Seat("pos_embed")
        module, _, end = name.rpartition(".")
        return _ended(sd3_module(module, layers), end)

    return seat


def of_flux(name: str) -> Seat | None:
    """The place of a tensor."""
    module, _, end = name.rpartition(".")
    return _ended(flux_module(module), "scale" if "attn.norm_" in module else end)


def _ended(module: Seat | None, end: str) -> Seat | None:
    return None if module is None else Seat(f"{module.name}.{end}", module.turn, module.place)
