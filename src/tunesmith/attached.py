"""From an adapter's folder to a network that it is attached to: the one way in for every command."""

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tunesmith.core.errors import UserError
from tunesmith.core.headed import head_modules
from tunesmith.export.adapter import base_fingerprint, read_adapter
from tunesmith.export.tensors import COPY
from tunesmith.methods import PEFT_TYPES
from tunesmith.methods.experts import stacks
from tunesmith.methods.head import with_head
from tunesmith.methods.method import MethodConfig
from tunesmith.methods.stored import load_stored


def attach_adapter(network: nn.Module, folder: Path, *, fingerprint: str | None = None) -> MethodConfig:
    """Attach the adapter in `folder` to `network`, which is frozen by that. -> the method, for `merge` and `detach`.

    `fingerprint`: of the base that `network` came from; compared with the one the adapter was trained on, where the
    adapter knows it. Raises UserError for another base, and for whatever `read_adapter` and the method refuse.
    """
    if other := other_base(folder, fingerprint):
        raise UserError(f"{folder}: {other}; name the base that it was trained on")
    return attach_read(network, *read_adapter(folder), folder)


def other_base(folder: Path, fingerprint: str | None) -> str | None:
    """-> in words that the adapter was trained on another base, or None: it was not, or one of the two is unknown."""
    wanted = base_fingerprint(folder)
    if fingerprint is None or wanted is None or wanted == fingerprint:
        return None
    return f"trained on another base (fingerprint {wanted[:12]}, this one has {fingerprint[:12]})"


def attach_read(
    network: nn.Module, described: dict[str, Any], tensors: dict[str, Tensor], folder: Path
) -> MethodConfig:
    """As `attach_adapter`, of what was read from `folder` already; the tree is as it was when it is refused."""
    _refuse_single_experts(network, tensors, folder)
    _take_copies(network, tensors, folder)
    own = _without_head(network, described, folder)
    method = with_head(PEFT_TYPES[described["peft_type"]].from_peft(own, network), network)
    method.attach(network)
    try:
        load_stored(method, network, tensors)
    except UserError:
        method.detach(network)
        raise
    return method


def _without_head(network: nn.Module, described: dict[str, Any], folder: Path) -> dict[str, Any]:
    """-> what is the method's to read. Raises UserError where one of the two scores and the other writes."""
    scores = described.get("task_type") == "SEQ_CLS"
    if scores and not head_modules(network):
        raise UserError(f"{folder}: an adapter that scores texts, and the base was opened to write them; use predict")
    if head_modules(network) and not scores:
        raise UserError(f"{folder}: an adapter that writes text, and the base was opened to score it")
    return {key: value for key, value in described.items() if not (scores and key == "modules_to_save")}


def _refuse_single_experts(network: nn.Module, tensors: dict[str, Tensor], folder: Path) -> None:
    """Before transformers 5 each expert was a layer of its own; PEFT still reads such files, and writes today's."""
    single = next((name for name in tensors if re.search(r"\.experts\.\d+\.", name)), None)
    if single is not None and stacks(network):
        raise UserError(
            f"{folder}: `{single}` belongs to one expert, but the base has them stacked; "
            "load the adapter with PEFT and transformers 5, and save it again"
        )


def _take_copies(network: nn.Module, tensors: dict[str, Tensor], folder: Path) -> None:
    """Take weights of the base out of `tensors`, which PEFT adds for some targets: they must be what the base has."""
    base = dict(network.named_parameters(remove_duplicate=False))
    for name in [name for name in tensors if name.endswith(COPY)]:
        copy, own = tensors.pop(name), base.get(name.removesuffix(COPY) + ".weight")
        if own is None or own.shape != copy.shape or not torch.equal(own.cpu(), copy.to(own.dtype)):
            raise UserError(f"{folder}: `{name}` is a weight of another base; name the base that it was trained on")
