"""The tensors of an adapter: which names and shapes belong together, and which values no file may hold."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tunesmith.core.errors import UserError

# The two factors of a layer, by the ends of their names: of linear layers and convolutions, and of embeddings.
PAIRS = ((".lora_A.weight", ".lora_B.weight"), (".lora_embedding_A", ".lora_embedding_B"))
MAGNITUDE = ".lora_magnitude_vector"
COPY = ".base_layer.weight"  # PEFT adds the base's own weight of some targets
BARE = "prompt_embeddings"  # the one tensor of virtual tokens; its name has no prefix
_PRODUCTS = ("LOHA", "LOKR")  # the product of all tensors of a layer is what it adds
_STARTS = {  # the value that means no change, the part of a name that holds it, and what it is
    "IA3": (1.0, ".ia3_l", "vector is one"),
    "TUNESMITH_BITFIT": (0.0, ".bias_change", "change of a bias is zero"),
    "TUNESMITH_BOTTLENECK": (0.0, ".adapter_up.", "adapter ends in zeros"),
}
_NOTHING = "the adapter changes nothing, it was never trained"
MAX_RANK = 4096
MAX_TENSORS = 100_000
MAX_STACKED = MAX_RANK << 10  # the ranks of all experts of a stack lie side by side
_NUMBERS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_LORA = re.compile("|".join(re.escape(end) for end in (*PAIRS[0], *PAIRS[1], MAGNITUDE)) + "$")


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """-> the tensors of a safetensors file, and what its header says about them. UserError for a damaged file."""
    try:
        with safe_open(path, framework="pt") as file:  # checks header, extents and gaps before anything is read
            names = list(file.keys())
            if len(names) > MAX_TENSORS:
                raise UserError(f"{path}: {len(names)} tensors; more than {MAX_TENSORS} are not read")
            return {name: file.get_tensor(name) for name in names}, dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not a whole safetensors file ({reason}); get the adapter again") from error


def fault(tensors: Mapping[str, Tensor], described: Mapping[str, Any]) -> str | None:
    """-> what is wrong with the tensors of an adapter, or None. Names lie below `base_model.model.`.

    What a file must hold for a given base is the method's to say: `methods.stored.load_stored`.
    """
    if not tensors:
        return "there are no tensors"
    for name, tensor in tensors.items():
        if not tensor.numel():
            return f"`{name}` is empty, its shape is {tuple(tensor.shape)}"
        if tensor.dtype not in _NUMBERS:
            return f"`{name}` holds {str(tensor.dtype).removeprefix('torch.')}; numbers with a point are expected"
        if not tensor.isfinite().all():
            return f"`{name}` holds {int((~tensor.isfinite()).sum())} values that are NaN or infinite"
    kind = described.get("peft_type", "LORA")
    beside = described.get("modules_to_save") or ()
    own = {name: tensor for name, tensor in tensors.items() if not any(f"{one}." in name for one in beside)}
    if not own:
        return "there is nothing but a head"
    return _lora_fault(own, described) if kind == "LORA" else _untrained(own, kind)


def _untrained(tensors: Mapping[str, Tensor], kind: str) -> str | None:
    """-> why an adapter of another kind than LoRA changes nothing, or None."""
    if kind in _PRODUCTS:
        layers = {name.rpartition(".")[0] for name in tensors}
        zero = {name.rpartition(".")[0] for name, tensor in tensors.items() if not tensor.any()}
        return (
            "every product has a factor of zeros: the adapter changes nothing, it was never trained"
            if layers == zero
            else None
        )
    if kind not in _STARTS:
        return None
    start, part, what = _STARTS[kind]
    moved = any((tensor != start).any() for name, tensor in tensors.items() if part in name)
    return None if moved else f"every {what}: {_NOTHING}"


def _lora_fault(tensors: Mapping[str, Tensor], described: Mapping[str, Any]) -> str | None:
    factors: dict[str, set[str]] = {}
    for name in tensors:
        if name.endswith(COPY):
            continue
        if (end := _LORA.search(name)) is None:
            return f"`{name}` is not the name of a LoRA tensor ({PAIRS[0][0][1:]} or {PAIRS[0][1][1:]})"
        factors.setdefault(name[: end.start()], set()).add(end[0])
    for layer, ends in sorted(factors.items()):
        if wrong := _layer_fault(layer, ends, tensors, described):
            return wrong
    ups = [tensor for name, tensor in tensors.items() if name.endswith((PAIRS[0][1], PAIRS[1][0], MAGNITUDE))]
    if not any(tensor.any() for tensor in ups):
        return f"every B is zero: {_NOTHING}"
    return None


def _layer_fault(layer: str, ends: set[str], tensors: Mapping[str, Tensor], described: Mapping[str, Any]) -> str | None:
    down, up = next((pair for pair in PAIRS if ends & set(pair)), PAIRS[0])
    for end in (down, up):
        if end not in ends:
            return f"`{layer}{end}` is missing"
        if not 2 <= (tensor := tensors[layer + end]).ndim <= 5:
            return f"`{layer}{end}` has shape {tuple(tensor.shape)}; a matrix is expected"
    if (MAGNITUDE in ends) != bool(described.get("use_dora", False)):
        return f"`{layer}{MAGNITUDE}` is {'there' if MAGNITUDE in ends else 'missing'}, against what `use_dora` says"
    rank, other = tensors[layer + down].shape[0], tensors[layer + up].shape[1]
    stacked = bool(described.get("target_parameters"))
    largest = MAX_STACKED if stacked else MAX_RANK
    if rank != other or rank > largest:
        return f"`{layer}`: A has rank {rank} and B has rank {other}; they must be equal and at most {largest}"
    known = described.get("r", 8)
    if not described.get("rank_pattern") and (rank % known if stacked else rank != known):
        return f"`{layer}` has rank {rank}, but `r` is {known}"
    return None
