"""Thin products: the weights of linear maps laid out for few rows, as long as answers are written.

With 16 rows a product takes as long as its weight takes to be read, and oneDNN reads one that was laid out before at
about twice the speed of a plain one, which it lays out anew in every call. The second layout is dropped afterwards, so
that no change of a weight is missed. Where it would take more than a part of the free memory there is none.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil
import torch
import torch.nn.functional as F
from torch import Tensor, nn

DTYPES = (torch.float32, torch.bfloat16)
SHARE = 0.3  # of the free memory


@dataclass(slots=True)
class Switch:
    """Whether the second layout is used now: not for a prompt, whose many rows the plain one serves as well."""

    on: bool = False


@contextmanager
def thin(network: nn.Module, rows: int) -> Iterator[Switch]:
    """Inside the block plain linear maps on a CPU are thin ones for about so many rows, while the switch is on.

    The tree stays as it is, whatever is put over a layer meanwhile: a layer's own `forward` covers that of its class.
    """
    switch = Switch()
    found = [module for module in network.modules() if _served(module)]
    needed = sum(module.weight.nbytes for module in found if isinstance(module.weight, Tensor))
    if needed > SHARE * psutil.virtual_memory().available:
        found = []
    try:
        for module in found:
            vars(module)["forward"] = _forward(module, rows, switch)
        yield switch
    finally:
        for module in found:
            vars(module).pop("forward", None)


def _forward(module: Any, rows: int, switch: Switch) -> Callable[[Tensor], Tensor]:
    laid = torch.ops.mkldnn._reorder_linear_weight(module.weight.detach(), rows)

    def forward(x: Tensor) -> Tensor:
        if switch.on:
            return torch.ops.mkldnn._linear_pointwise(x, laid, module.bias, "none", [], "")
        return F.linear(x, module.weight, module.bias)

    return forward


def _served(module: Any) -> bool:
    return (
        type(module) is nn.Linear
        and "forward" not in vars(module)
        and module.weight.device.type == "cpu"
        and module.weight.dtype in DTYPES
        and _has_kernels(module.weight.dtype)
    )


def _has_kernels(dtype: torch.dtype) -> bool:
    """Whether this torch has oneDNN, and oneDNN products in `dtype` for this processor."""
    ops: Any = torch.ops.mkldnn
    if not torch.backends.mkldnn.is_available() or not hasattr(ops, "_linear_pointwise"):
        return False
    return dtype == torch.float32 or bool(ops._is_mkldnn_bf16_supported())
