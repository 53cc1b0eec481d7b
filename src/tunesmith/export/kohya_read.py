"""Read what kohya's scripts, LyCORIS, ComfyUI and their kin write: layers with flat names and an alpha for each.

`lora_mid` (LyCORIS's Tucker form of a convolution) becomes one convolution of the same rank. What PEFT has no name for
is refused: changes of whole weights, norms and biases, orthogonal transforms, learned words beside the adapter.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tunesmith.core.errors import UserError
from tunesmith.export.kohya import DOWN, LORA, PREFIXES
from tunesmith.export.kohya_fused import is_original, split
from tunesmith.export.picture_names import LAYERS, dotted, flat, from_compvis
from tunesmith.export.tensors import MAGNITUDE

Layers = dict[str, dict[str, Tensor]]
"""Name of a layer: end of a name: tensor."""
_ANY = "lycoris_"
_DOTTED = "diffusion_model."  # ComfyUI's own: the same names with dots, and PEFT's or kohya's ends
_PEFT_END = re.compile(r"\.lora_([AB])(?:\.default)?\.weight$")
_HALF = re.compile(r"_lora\.(down|up)\.weight$")
_ENDS = (".lora_down.weight", ".lora_up.weight", ".lora_mid.weight")
_PRODUCT = re.compile(r"\.(hada_w[12]_[ab]|lokr_w[12](_[ab])?)")
_REFUSED = {
    ".hada_t1": "a Tucker product (`use_tucker`)",
    ".hada_t2": "a Tucker product (`use_tucker`)",
    ".lokr_t2": "a Tucker product (`use_tucker`)",
    ".diff": "changes of whole weights (LyCORIS's `full`)",
    ".diff_b": "changes of biases (LyCORIS's `full`)",
    ".w_norm": "changes of norms (`train_norm`)",
    ".b_norm": "changes of norms (`train_norm`)",
    ".oft_blocks": "an orthogonal transform (OFT)",
    ".oft_diag": "an orthogonal transform (OFT)",
    ".a1.weight": "GLoRA",
    ".on_input": "LyCORIS's IA3",
}


def is_kohya(names: Mapping[str, object]) -> bool:
    """Whether these are names of kohya's format or of LyCORIS's."""
    return any(name.startswith((*PREFIXES, _ANY, _DOTTED)) for name in names)


def read_kohya(
    path: Path, tensors: Mapping[str, Tensor], layers: int = LAYERS
) -> tuple[dict[str, dict[str, Tensor]], dict[str, dict[str, Any]]]:
    """-> by part, the tensors by PEFT's names and the configuration. `layers`: of a UNet's block.

    Raises UserError, naming the file `path`, for names and kinds that are not known.
    """
    found: dict[str, Layers] = {}
    for whole, layer in _grouped(tensors).items():
        part, place = _place(path, whole, layers)
        original = part == "unet" and is_original(place)
        part = "transformer" if original else part
        for name, own in (split(path, place, layer) if original else {place: layer}).items():
            if name in found.setdefault(part, {}):
                raise UserError(f"{path}: two layers of the file are {part}.{name}; get the adapter again")
            found[part][name] = own
    adapters = {part: _adapter(f"{path}: {part}", named) for part, named in found.items()}
    return {part: one[0] for part, one in adapters.items()}, {part: one[1] for part, one in adapters.items()}


def _grouped(tensors: Mapping[str, Tensor]) -> Layers:
    layers: Layers = {}
    for name, tensor in tensors.items():
        whole, _, end = _flattened(name).partition(".")
        layers.setdefault(whole, {})["." + end] = tensor
    return layers


def _flattened(name: str) -> str:
    """ComfyUI's names in kohya's way, and those that a converter of diffusers leaves half turned."""
    if not name.startswith(_DOTTED):
        return _HALF.sub(r".lora_\1.weight", name)
    name = _PEFT_END.sub(lambda found: ".lora_down.weight" if found[1] == "A" else ".lora_up.weight", name)
    end = next((end for end in _ENDS if name.endswith(end)), "." + name.rpartition(".")[2])
    return "lora_unet_" + flat(name.removeprefix(_DOTTED).removesuffix(end)) + end


def _place(path: Path, whole: str, layers: int) -> tuple[str, str]:
    """-> the part, and the dotted name in it."""
    prefix = next((prefix for prefix in (*PREFIXES, _ANY) if whole.startswith(prefix)), None)
    if prefix is None:
        if whole == "bundle_emb":
            raise UserError(f"{path}: a learned word lies beside the adapter (`bundle_emb`); such pairs are not read")
        raise UserError(f"{path}: `{whole[:100]}` is no layer of kohya's format; get the adapter again")
    name = dotted(whole.removeprefix(prefix))
    transformer = name.startswith(("transformer_blocks.", "single_transformer_blocks."))
    part = "transformer" if transformer else PREFIXES.get(prefix, "unet")
    return part, (from_compvis(name, layers) or name) if part == "unet" else name


def _adapter(where: str, layers: Layers) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors: dict[str, Tensor] = {}
    kinds: set[str] = set()
    strengths: dict[str, tuple[int, float]] = {}
    for name, layer in layers.items():
        kind, rank = _kind(f"{where}.{name}", layer)
        kinds.add(kind)
        strengths[name] = rank, _alpha(f"{where}.{name}", layer, rank)
        tensors |= {name + end: tensor for end, tensor in _peft_ends(f"{where}.{name}", layer)}
    if len(kinds) > 1:
        raise UserError(f"{where} holds {' and '.join(sorted(kinds))}; adapters of one kind are read")
    described = describe(kinds.pop(), strengths, tensors)
    if described["peft_type"] == "LOKR":
        both = any(".lokr_w1_a" in layer for layer in layers.values())
        described |= {"decompose_both": both, "decompose_factor": _factor(layers)}
    return tensors, described


def _kind(where: str, layer: Mapping[str, Tensor]) -> tuple[str, int]:
    """-> PEFT's name of the method, and the rank."""
    for end in layer:
        if end in _REFUSED:
            raise UserError(f"{where} holds {_REFUSED[end]}, which is not read; merge it with its own tool")
    ends = {end for end in layer if end != ".alpha"}
    if {".lora_down.weight", ".lora_up.weight"} <= ends <= {*LORA, ".lora_mid.weight"}:
        return "LORA", layer[".lora_down.weight"].shape[0]
    if len(ends) == 4 and all(end.startswith(".hada_w") for end in ends):
        return "LOHA", layer[".hada_w1_b"].shape[0]
    if all(_PRODUCT.fullmatch(end) for end in ends) and all(_whole_factor(ends, n) for n in (1, 2)):
        small = [layer[end].shape[0] for end in (".lokr_w1_b", ".lokr_w2_b") if end in ends]
        return "LOKR", small[0] if small else max(layer[".lokr_w2"].shape)
    shown = ", ".join(sorted(ends))[:100] or "no weights"
    raise UserError(f"{where} holds {shown}: no whole layer of a kind that is read; get the adapter again")


def _whole_factor(ends: set[str], number: int) -> bool:
    name = f".lokr_w{number}"
    return (name in ends) != ({name + "_a", name + "_b"} <= ends)


def _alpha(where: str, layer: Mapping[str, Tensor], rank: int) -> float:
    if ".alpha" not in layer or {".lokr_w1", ".lokr_w2"} <= set(layer):
        return float(rank)  # a strength of one: what is meant where nothing is said
    if layer[".alpha"].numel() != 1:
        raise UserError(f"{where}.alpha holds {layer['.alpha'].numel()} numbers, one is expected")
    alpha = float(layer[".alpha"].item())
    if not 0 < alpha < math.inf:
        raise UserError(f"{where}.alpha is {alpha}, it must be above 0; get the adapter again")
    return alpha


def _peft_ends(where: str, layer: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for end, tensor in layer.items():
        if end == ".dora_scale":
            yield MAGNITUDE, _magnitude(where, tensor, layer)
        elif end == ".lora_down.weight" and ".lora_mid.weight" in layer:
            mid = layer[".lora_mid.weight"].float()  # (R, R, k, k) after (R, I, 1, 1): one convolution
            yield DOWN, torch.einsum("qr...,ri->qi...", mid, tensor.float().flatten(1))
        elif end not in (".alpha", ".lora_mid.weight"):
            yield LORA.get(end, end), tensor


def _magnitude(where: str, scale: Tensor, layer: Mapping[str, Tensor]) -> Tensor:
    outputs = layer[".lora_up.weight"].shape[0]
    if scale.ndim > 1 and scale.shape[0] != outputs:
        raise UserError(
            f"{where}.dora_scale has one number for each input (LyCORIS's `wd_on_output=False`); "
            "only one for each output is read"
        )
    if scale.numel() != outputs:
        raise UserError(f"{where}.dora_scale holds {scale.numel()} numbers, {outputs} are expected")
    kernel = layer[".lora_down.weight"].ndim - 2
    return scale.reshape(1, outputs, *[1] * kernel) if kernel else scale.reshape(outputs)


def describe(kind: str, strengths: Mapping[str, tuple[int, float]], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """-> the keys of PEFT's configuration for layers whose rank and alpha are known one by one."""
    rank = Counter(rank for rank, _ in strengths.values()).most_common(1)[0][0]
    alpha = Counter(alpha for _, alpha in strengths.values()).most_common(1)[0][0]
    described = {
        "peft_type": kind,
        "r": rank,
        "lora_alpha" if kind == "LORA" else "alpha": _number(alpha),
        "target_modules": sorted(strengths),
        "rank_pattern": {name: own for name, (own, _) in strengths.items() if own != rank},
        "alpha_pattern": {name: _number(own) for name, (_, own) in strengths.items() if own != alpha},
    }
    dora = any(name.endswith(MAGNITUDE) for name in tensors)
    return described | ({"use_rslora": False, "use_dora": dora} if kind == "LORA" else {})


def _factor(layers: Layers) -> int:
    """-> how LyCORIS split the sizes: -1, as near to a square as can be, or the largest that w1 may have."""
    pairs = [
        pair for layer in layers.values() for pair in zip(_sizes(layer, 1), _sizes(layer, 2), strict=True)
    ]  # fmt: skip
    near = all(all(a * b % n for n in range(a + 1, math.isqrt(a * b) + 1)) for a, b in pairs)
    return -1 if near else max(a for a, _ in pairs)


def _sizes(layer: Mapping[str, Tensor], number: int) -> tuple[int, int]:
    """-> outputs and inputs of a factor."""
    name = f".lokr_w{number}"
    whole = layer.get(name)
    if whole is not None:
        return whole.shape[0], whole.shape[1]
    return layer[name + "_a"].shape[0], layer[name + "_b"].shape[1]


def _number(alpha: float) -> float:
    """Whole numbers are written without a point, as PEFT does."""
    return alpha if alpha % 1 else int(alpha)
