"""The tensors of a LoRA file: which names and shapes belong together, and which values no file may hold."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

DOWN, UP = ".lora_A.weight", ".lora_B.weight"
COPY = ".base_layer.weight"  # PEFT adds the base's own weight of an output head that is a target
MAX_RANK = 4096
MAX_STACKED = MAX_RANK << 10  # the ranks of all experts of a stack lie side by side


def fault(tensors: Mapping[str, Tensor], described: Mapping[str, Any]) -> str | None:
    """-> what is wrong with the tensors of an adapter, or None. Names lie below `base_model.model.`."""
    if not tensors:
        return "there are no tensors"
    layers = {name.removesuffix(DOWN).removesuffix(UP) for name in tensors if not name.endswith(COPY)}
    for layer in sorted(layers):
        if wrong := _layer_fault(layer, tensors, described):
            return wrong
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            return f"`{name}` holds {int((~tensor.isfinite()).sum())} values that are NaN or infinite"
    if not any(tensor.any() for name, tensor in tensors.items() if name.endswith(UP)):
        return "every B is zero: the adapter changes nothing, it was never trained"
    return None


def _layer_fault(layer: str, tensors: Mapping[str, Tensor], described: Mapping[str, Any]) -> str | None:
    if layer in tensors:
        return f"`{layer}` is not the name of a LoRA tensor ({DOWN[1:]} or {UP[1:]})"
    for end in (DOWN, UP):
        if layer + end not in tensors:
            return f"`{layer}{end}` is missing"
        if (tensor := tensors[layer + end]).ndim != 2 or not tensor.numel():
            return f"`{layer}{end}` has shape {tuple(tensor.shape)}; a matrix is expected"
        if tensor.dtype not in (torch.float32, torch.float16, torch.bfloat16, torch.float64):
            return f"`{layer}{end}` holds {str(tensor.dtype).removeprefix('torch.')}; numbers with a point are expected"
    rank, other = tensors[layer + DOWN].shape[0], tensors[layer + UP].shape[1]
    stacked = bool(described.get("target_parameters"))
    largest = MAX_STACKED if stacked else MAX_RANK
    if rank != other or rank > largest:
        return f"`{layer}`: A has rank {rank} and B has rank {other}; they must be equal and at most {largest}"
    known = described.get("r", 8)
    if not described.get("rank_pattern") and (rank % known if stacked else rank != known):
        return f"`{layer}` has rank {rank}, but `r` is {known}"
    return None
