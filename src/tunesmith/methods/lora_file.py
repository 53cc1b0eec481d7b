"""LoRA in PEFT's words: the keys of `adapter_config.json` that belong to it, written and read."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from tunesmith.core.errors import UserError
from tunesmith.core.layers import lies_transposed
from tunesmith.methods.experts import StackLayer, StackUpdate
from tunesmith.methods.inject import wrapped
from tunesmith.methods.lora_layers import ShiftedLoRALayer, Update
from tunesmith.methods.peft_names import FILE, described_targets, first_match, refuse, targeted

# Keys of PEFT that change what the tensors mean, and the values with which they change nothing.
_VARIANTS = (
    "lora_bias", "modules_to_save", "trainable_token_indices", "layer_replication",
    "use_qalora", "alora_invocation_tokens", "arrow_config", "monteclora_config", "use_bdlora", "kasa_config",
    "velora_config", "megatron_config",
)  # fmt: skip
_HARMLESS_STARTS = (True, False, None, "gaussian", "orthogonal", "eva")  # the others change the base as well


def updates(network: nn.Module) -> dict[str, Update | StackUpdate]:
    """-> every update that the network holds, by the name of its layer or stack."""
    found: dict[str, Update | StackUpdate] = dict(wrapped(network, Update))
    for name, stack in wrapped(network, StackLayer):
        found |= {f"{name}.{own}": update for own, update in stack.by_name().items()}
    return found


def bases(network: nn.Module) -> dict[str, nn.Module]:
    """-> name of what stands in the tree: what it wraps."""
    layers = {name: layer.base for name, layer in wrapped(network, Update)}
    return layers | {name: stack.base for name, stack in wrapped(network, StackLayer)}


def described(network: nn.Module, rank: int, alpha: float, settings: Mapping[str, Any]) -> dict[str, Any]:
    """-> the keys of the file. `settings`: those that say the same of every layer."""
    found = updates(network)
    ranks = {name: layer.rank for name, layer in found.items()}
    alphas = {name: layer.alpha for name, layer in found.items()}
    shifted = [name for name, layer in found.items() if isinstance(layer, ShiftedLoRALayer)]
    growth = 2**0.5 if settings["use_rslora"] else 2  # of alpha, so that the scale stays when the rank doubles
    for name in shifted:  # what was subtracted is in the file as well
        ranks[name], alphas[name] = 2 * ranks[name], growth * alphas[name]
    if shifted:
        rank, alpha = 2 * rank, growth * alpha
    return {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": _number(alpha),
        **described_targets(network, bases(network), list(found)),
        "rank_pattern": {name: own for name, own in ranks.items() if own != rank},
        "alpha_pattern": {name: _number(own) for name, own in alphas.items() if own != alpha},
        "fan_in_fan_out": any(lies_transposed(base) for base in bases(network).values()),
        "bias": "none",
        "init_lora_weights": True,
        "modules_to_save": None,
        **settings,
    }


def settings(described: Mapping[str, Any], network: nn.Module) -> dict[str, Any]:
    """-> the fields of `LoRA` that a file describes, its names and patterns resolved in `network`.

    Raises UserError for what LoRA has not here, and for targets that the network has not.
    """
    _refuse_variants(described)
    names = targeted(network, described)
    ranks, alphas = described.get("rank_pattern") or {}, described.get("alpha_pattern") or {}
    rank, alpha = described.get("r", 8), described.get("lora_alpha", 8)
    return {
        "rank": rank,
        "alpha": alpha,
        "dropout": described.get("lora_dropout", 0.0),
        "targets": tuple(names),
        "rank_stabilized": described.get("use_rslora", False),
        "magnitude": described.get("use_dora", False),
        "ranks": {n: first_match(key, ranks, rank, "rank_pattern") for n, key in names.items()} if ranks else {},
        "alphas": {n: first_match(key, alphas, alpha, "alpha_pattern") for n, key in names.items()} if alphas else {},
    }


def _refuse_variants(described: Mapping[str, Any]) -> None:
    refuse(described, _VARIANTS)
    if described.get("bias", "none") != "none":
        raise UserError(f"{FILE}: trained biases (`bias`) are not supported; merge the adapter with its own tool")
    start = described.get("init_lora_weights", True)
    if start not in _HARMLESS_STARTS:
        raise UserError(
            f"{FILE}: `init_lora_weights` is {start}, which changed the base as well; "
            "save it again with path_initial_model_for_weight_conversion"
        )


def _number(alpha: float) -> float:
    """Whole numbers are written without a point, as PEFT does."""
    return alpha if alpha % 1 else int(alpha)
