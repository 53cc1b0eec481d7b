"""Adapters of image models in kohya's format, with LyCORIS's kinds: what A1111, ComfyUI and diffusers load.

lora_unet_down_blocks_0_..._attn1_to_k  .lora_down.weight  .lora_up.weight  .alpha  .dora_scale   W + alpha / r up down
                                        .hada_w1_a ...     .lokr_w1 ...     .alpha

https://github.com/kohya-ss/sd-scripts, https://github.com/KohakuBlueleaf/LyCORIS. LoRA of transformers (SD 3, FLUX) has
their authors' names below `lora_unet_`, with queries, keys and values in one; what cannot be joined has diffusers' own
below `lora_transformer_`, which ComfyUI knows, too.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from tunesmith.core.errors import UserError
from tunesmith.export.kohya_fused import MODULES, fits, fused
from tunesmith.export.picture_names import LAYERS, flat, legacy, to_compvis
from tunesmith.export.tensors import MAGNITUDE, PAIRS

Parts = Mapping[str, Mapping[str, Tensor]]
Described = Mapping[str, Mapping[str, Any]]

PREFIXES = {
    "lora_unet_": "unet",
    "lora_transformer_": "transformer",
    "lora_te_": "text_encoder",
    "lora_te1_": "text_encoder",
    "lora_te2_": "text_encoder_2",
    "lora_te3_": "text_encoder_3",
}
DOWN, UP = PAIRS[0]
LORA = {".lora_down.weight": DOWN, ".lora_up.weight": UP, ".dora_scale": MAGNITUDE}
"""The ends of names, and those in PEFT's format."""
_BACK = {peft: kohya for kohya, peft in LORA.items()}


def unwritable(parts: Parts, described: Described) -> str | None:
    """-> why kohya's format cannot hold the adapter, or None."""
    for part, tensors in parts.items():
        kind = str(described[part]["peft_type"])
        if kind not in ("LORA", "LOHA", "LOKR"):
            return f"it has no names for {kind}"
        odd = next((name for name in tensors if kind == "LORA" and not name.endswith(tuple(_BACK))), None)
        if odd is not None:
            return f"it has no name for {part}.{odd}"
    return None


def kohya_tensors(parts: Parts, described: Described, *, family: str) -> dict[str, Tensor]:
    """-> the tensors by kohya's names, one alpha per layer, text encoders with `text_model_`.

    Where the model has several text encoders, they are lora_te1_, lora_te2_.
    """
    found: dict[str, Tensor] = {}
    numbered = family not in ("sd1", "sd2")
    for part, tensors in parts.items():
        layers = dict(sorted(_by_layer(tensors).items()))
        strengths = {name: _strength(name, layer, described[part]) for name, layer in layers.items()}
        if part == "transformer" and family in MODULES and fits(layers, family):
            for name, (layer, alpha) in fused(layers, strengths, family).items():
                found |= {f"lora_unet_{flat(name)}{end}": t for end, t in _ends(layer, 1, alpha, alpha)}
                found[f"lora_unet_{flat(name)}.alpha"] = torch.tensor(alpha)
            continue
        usual = Counter(alpha for _, alpha in strengths.values()).most_common(1)[0][0]
        for name, layer in layers.items():
            whole = _prefix(part, numbered) + _flat(part, name)
            rank, alpha = strengths[name]
            found |= {whole + end: tensor for end, tensor in _ends(layer, rank, alpha, usual)}
            found[whole + ".alpha"] = torch.tensor(float(usual if DOWN in layer else alpha))
    return found


def _ends(layer: Mapping[str, Tensor], rank: int, alpha: float, usual: float) -> Iterator[tuple[str, Tensor]]:
    whole = {".lokr_w1", ".lokr_w2"} <= set(layer)
    for end, tensor in layer.items():
        if end == MAGNITUDE:  # one number for each output, in the shape that scales the rows of any weight
            yield ".dora_scale", tensor.reshape(-1, *[1] * (layer[DOWN].ndim - 1))
        elif end == UP and alpha != usual:  # diffusers loses an alpha that only some attention layers have
            yield _BACK[end], tensor * (alpha / usual)
        elif end == ".lokr_w1" and whole:  # without a small rank LyCORIS takes no notice of alpha
            yield end, tensor * (alpha / rank)
        else:
            yield _BACK.get(end, end), tensor


def _flat(part: str, name: str) -> str:
    if name.startswith("add_embedding."):  # diffusers and ComfyUI both know these two by CompVis's names
        name = to_compvis(name, LAYERS, frozenset()) or name
    return flat(legacy(part, name))


def _prefix(part: str, numbered: bool) -> str:
    if part == "text_encoder":
        return "lora_te1_" if numbered else "lora_te_"
    return next(prefix for prefix, known in PREFIXES.items() if known == part)


def _by_layer(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """-> name of a layer: end of a name in PEFT's format: tensor."""
    layers: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        end = next((end for end in _BACK if name.endswith(end)), "." + name.rpartition(".")[2])
        layers.setdefault(name.removesuffix(end), {})[end] = tensor
    return layers


def _strength(name: str, layer: Mapping[str, Tensor], described: Mapping[str, Any]) -> tuple[int, float]:
    """-> the rank and the alpha of a layer, for a strength of alpha / rank."""
    key = "lora_alpha" if described["peft_type"] == "LORA" else "alpha"
    alpha = _by_end(name, described.get("alpha_pattern") or {}, described.get(key, 8))
    if DOWN in layer:
        rank = layer[DOWN].shape[0]
        return rank, alpha * math.sqrt(rank) if described.get("use_rslora") else alpha
    return int(_by_end(name, described.get("rank_pattern") or {}, described.get("r", 8))), alpha


def _by_end(name: str, patterns: Mapping[str, float], default: float) -> float:
    """The value of the name or end of a name that means `name`. UserError for a pattern: methods write names."""
    for pattern, value in patterns.items():
        written = pattern.removeprefix("^")
        if re.search(r"[*+?\[\](){}|\\$]", written):
            raise UserError(f"adapter: the pattern `{pattern[:80]}` stands for many layers; name each of them")
        if name == written or name.endswith("." + written):
            return value
    return default
