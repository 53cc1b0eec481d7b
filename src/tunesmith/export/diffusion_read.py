"""Read the adapter files of diffusers, whose names changed three times.

PEFT's        unet.X.attn1.to_k.lora_A.weight                     text_encoder.X.q_proj.lora_A.weight
the scripts'  unet.X.attn1.to_k.lora.down.weight                  text_encoder.X.q_proj.lora_linear_layer.down.weight
the oldest    unet.X.attn1.processor.to_k_lora.down.weight        text_encoder.X.to_q_lora.down.weight

Ranks and strengths are those of the header (`lora_adapter_metadata`), else of `.alpha` tensors; a file with neither has
the strength of one, as diffusers takes it. One file may mix the ways: each name is read by itself.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from tunesmith.core.errors import UserError
from tunesmith.export.kohya import DOWN, UP
from tunesmith.export.kohya_read import describe
from tunesmith.export.peft_config import checked, parse_bytes
from tunesmith.export.tensors import MAGNITUDE

METADATA = "lora_adapter_metadata"
PARTS = ("unet", "transformer", "text_encoder", "text_encoder_2", "text_encoder_3")
_UNET = ("down_blocks.", "mid_block.", "up_blocks.", "conv_in.", "conv_out.")
_END = re.compile(
    r"(?P<old>(?:\.processor)?\.to_(?P<which>q|k|v|out)_lora)?(?:\.lora|\.lora_linear_layer)?\.(?P<side>down|up)\.weight$"
    r"|\.lora_(?P<factor>A|B)(?:\.default)?\.weight$"
    r"|\.lora_(?P<magnitude>magnitude_vector)(?:\.default)?(?:\.weight)?$"
    r"|\.lora_embedding_(?P<table>A|B)$"
    r"|(?P<alpha>\.alpha)$"
)
_IN_TEXT = {"q": ".q_proj", "k": ".k_proj", "v": ".v_proj", "out": ".out_proj"}
_IN_UNET = {"q": ".to_q", "k": ".to_k", "v": ".to_v", "out": ".to_out.0"}


def read_dotted(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> tuple[dict[str, dict[str, Tensor]], dict[str, dict[str, Any]]]:
    """-> by part, the tensors by PEFT's names and the configuration. UserError for a name that is not known."""
    parts, alphas = by_part(path, tensors)
    if lonely := next((part for part in alphas if part not in parts), None):
        raise UserError(f"{path}: {lonely} has strengths and no weights; get the adapter again")
    said = _said(path, metadata)
    described = {}
    for part, found in parts.items():
        own = {key.removeprefix(part + "."): value for key, value in said.items() if key.startswith(part + ".")}
        described[part] = (
            checked({"peft_type": "LORA", **own}, path) if own else _known(path, found, alphas.get(part, {}))
        )
    return parts, described


def by_part(
    path: Path, tensors: Mapping[str, Tensor]
) -> tuple[dict[str, dict[str, Tensor]], dict[str, dict[str, Tensor]]]:
    """-> the tensors of each part by PEFT's names, and the strengths that lie beside them."""
    parts: dict[str, dict[str, Tensor]] = {}
    alphas: dict[str, dict[str, Tensor]] = {}
    for whole, tensor in tensors.items():
        part, name, end = _placed(path, whole)
        held = (alphas if end == ".alpha" else parts).setdefault(part, {})
        if name + end in held:
            raise UserError(f"{path}: two tensors of the file are {part}.{name}{end}; get the adapter again")
        held[name + end] = tensor
    return parts, alphas


def _placed(path: Path, whole: str) -> tuple[str, str, str]:
    """-> the part, the layer, and the end of the name in PEFT's format."""
    name = whole.replace("base_model.model.", "")
    part = next((part for part in PARTS if name.startswith(part + ".")), None)
    if part is None and not name.startswith(_UNET):
        raise UserError(
            f"{path}: `{whole[:100]}` belongs to no part of an image model that is known ({', '.join(PARTS)})"
        )
    name = name if part is None else name.removeprefix(part + ".")
    found = _END.search(name)
    if found is None:
        raise UserError(f"{path}: `{whole[:100]}` is no tensor of an adapter; get the adapter again")
    layer = name[: found.start()]
    if found["old"]:
        layer += (_IN_TEXT if (part or "").startswith("text_encoder") else _IN_UNET)[found["which"]]
    if found["alpha"]:
        return part or "unet", layer.removesuffix(".lora").removesuffix(".processor"), ".alpha"
    if found["table"]:
        return part or "unet", layer, found[0]
    if found["magnitude"]:
        return part or "unet", layer, MAGNITUDE
    return part or "unet", layer, DOWN if "down" in (found["side"] or "") or found["factor"] == "A" else UP


def _said(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    if METADATA not in metadata:
        return {}
    return parse_bytes(metadata[METADATA].encode(), path)


def _known(path: Path, tensors: Mapping[str, Tensor], alphas: Mapping[str, Tensor]) -> dict[str, Any]:
    """-> the configuration that the shapes and the strengths of the layers give."""
    strengths = {}
    for name in sorted(name.removesuffix(DOWN) for name in tensors if name.endswith(DOWN)):
        rank = tensors[name + DOWN].shape[0]
        alpha = alphas.get(name + ".alpha")
        if alpha is not None and (alpha.numel() != 1 or not alpha.item() > 0):
            raise UserError(f"{path}: {name}.alpha is no number above 0; get the adapter again")
        strengths[name] = rank, float(rank if alpha is None else alpha.item())
    if odd := next((name for name in alphas if name.removesuffix(".alpha") not in strengths), None):
        raise UserError(f"{path}: `{odd[:100]}` is the strength of no layer of the file; get the adapter again")
    if not strengths:
        raise UserError(f"{path}: `{next(iter(tensors))[:100]}` has no A beside it; get the adapter again")
    return describe("LORA", strengths, tensors)
