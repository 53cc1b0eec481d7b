"""The names of layers in files for image models: with dots as in diffusers, flat as kohya's, or CompVis's numbers.

flat      down_blocks_0_attentions_1_proj_in        every dot became an underscore: which of them was a dot is lost
dotted    down_blocks.0.attentions.1.proj_in        found again by knowing all words that hold an underscore themselves
CompVis   input_blocks.2.1.proj_in                  one number per block, in the order of the forward pass

CompVis's names are those of https://github.com/CompVis/stable-diffusion and https://github.com/Stability-AI/generative-models.
"""

import re

_WORDS = (
    # UNets
    "down_blocks", "up_blocks", "mid_block", "transformer_blocks", "proj_in", "proj_out", "to_q", "to_k", "to_v",
    "to_out", "time_emb_proj", "time_embedding", "add_embedding", "class_embedding", "linear_1", "linear_2",
    "linear_cond", "cond_proj", "conv_in", "conv_out", "conv_shortcut", "conv_norm_out", "encoder_hid_proj",
    # CompVis's UNets
    "input_blocks", "middle_block", "output_blocks", "in_layers", "emb_layers", "out_layers", "skip_connection",
    "time_embed", "label_emb",
    # transformers: SD3 and FLUX
    "single_transformer_blocks", "proj_mlp", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out", "ff_context",
    "norm1_context", "norm2_context", "norm_out", "x_embedder", "context_embedder", "time_text_embed",
    "timestep_embedder", "text_embedder", "guidance_embedder", "pos_embed", "norm_q", "norm_k", "norm_added_q",
    "norm_added_k",
    # the transformer of FLUX as its authors name it
    "double_blocks", "single_blocks", "img_attn", "txt_attn", "img_mlp", "txt_mlp", "img_mod", "txt_mod", "img_in",
    "txt_in", "time_in", "vector_in", "guidance_in", "in_layer", "out_layer", "final_layer", "adaLN_modulation",
    # and that of SD3
    "joint_blocks", "x_block", "context_block", "t_embedder", "y_embedder",
    # text encoders
    "text_model", "self_attn", "q_proj", "k_proj", "v_proj", "out_proj", "text_projection", "token_embedding",
    "position_embedding", "layer_norm1", "layer_norm2", "final_layer_norm", "layer_norm", "wi_0", "wi_1",
)  # fmt: skip
_WORD = re.compile("(?:" + "|".join(sorted(_WORDS, key=len, reverse=True)) + "|[^_]+)(?:_|$)")
_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_ALONE = {
    "input_blocks.0.0": "conv_in",
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb.0.0": "add_embedding.linear_1",
    "label_emb.0.2": "add_embedding.linear_2",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
_MIDDLE = {"0": "resnets.0", "1": "attentions.0", "2": "resnets.1"}
_BLOCK = re.compile(r"(input_blocks|output_blocks)\.(\d+)\.(\d+)(?:\.(.+))?")
_ALIKE = re.compile(r"(down_blocks|up_blocks)\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)(?:\.(.+))?")
LAYERS = 2
"""Layers of a block in every Stable Diffusion that was published."""


def flat(name: str) -> str:
    """A dotted name in kohya's way."""
    return name.replace(".", "_")


def dotted(name: str) -> str:
    """A flat name with its dots."""
    return ".".join(match[0].rstrip("_") for match in _WORD.finditer(name))


def from_compvis(name: str, layers: int = LAYERS) -> str | None:
    """-> the name in diffusers of a UNet's module, or None for one that is none of CompVis's. `layers`: of a block."""
    for old, new in _ALONE.items():
        if name == old:
            return new
    if name.startswith("middle_block."):
        _, place, *ends = name.split(".")
        return _joined("mid_block", _MIDDLE[place], ".".join(ends)) if place in _MIDDLE else None
    if (found := _BLOCK.fullmatch(name)) is None:
        return None
    side, number, inner, rest = found[1], int(found[2]), int(found[3]), found[4] or ""
    if side == "input_blocks":
        block, layer = divmod(number - 1, layers + 1)
        if rest == "op":
            return f"down_blocks.{block}.downsamplers.0.conv"
        return _joined(f"down_blocks.{block}", f"{'attentions' if inner else 'resnets'}.{layer}", rest)
    block, layer = divmod(number, layers + 1)
    if inner and rest == "conv":
        return f"up_blocks.{block}.upsamplers.0.conv"
    return _joined(f"up_blocks.{block}", f"{'attentions' if inner else 'resnets'}.{layer}", rest)


def to_compvis(name: str, layers: int, attends: frozenset[str]) -> str | None:
    """-> CompVis's name of a UNet's module, or None. `attends`: the up blocks that hold attention (`up_blocks.1`)."""
    for new, old in _ALONE.items():
        if name == old:
            return new
    if name.startswith("mid_block."):
        _, which, number, *ends = name.split(".")
        middle = next((old for old, new in _MIDDLE.items() if new == f"{which}.{number}"), None)
        return None if middle is None else _joined_compvis(f"middle_block.{middle}", ".".join(ends))
    if (found := _ALIKE.fullmatch(name)) is None:
        return None
    block, kind, layer, rest = int(found[2]), found[3], int(found[4]), found[5] or ""
    if found[1] == "down_blocks":
        if kind == "downsamplers":
            return f"input_blocks.{(block + 1) * (layers + 1)}.0.op"
        return _joined_compvis(f"input_blocks.{1 + block * (layers + 1) + layer}.{int(kind == 'attentions')}", rest)
    if kind == "upsamplers":
        place = 1 + (f"up_blocks.{block}" in attends)
        return f"output_blocks.{block * (layers + 1) + layers}.{place}.conv"
    return _joined_compvis(f"output_blocks.{block * (layers + 1) + layer}.{int(kind == 'attentions')}", rest)


def legacy(part: str, name: str) -> str:
    """The name that a module of CLIP has in every file: newer transformers have no `text_model` around it."""
    inside = name.startswith(("encoder.layers.", "embeddings.", "final_layer_norm"))
    return "text_model." + name if part.startswith("text_encoder") and inside else name


def _joined(block: str, layer: str, rest: str) -> str:
    inside = _RESNET.get(rest, rest) if layer.startswith("resnets") else rest
    return f"{block}.{layer}" + (f".{inside}" if inside else "")


def _joined_compvis(block: str, rest: str) -> str:
    inside = next((old for old, new in _RESNET.items() if new == rest), rest)
    return f"{block}.{inside}" if inside else block
