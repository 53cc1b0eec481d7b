"""What is cheap to compute again need not be kept for the backward pass."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

from torch import Size, Tensor
from torch.autograd.graph import saved_tensors_hooks

Kept = Tensor | Callable[[], Tensor]


def recomputed(value: Tensor, again: Callable[[], Tensor]) -> AbstractContextManager[None]:
    """Inside the block, an operation that would save `value` (or a view of all of it) saves `again` instead.

    Who saves it does not matter: a layer, or a method that wraps the layer. `again()` must give equal values, and what
    it holds should be kept by the graph anyway.
    """

    place, length = value.data_ptr(), value.numel()  # the hooks live as long as the graph: they must not hold `value`

    def pack(saved: Tensor) -> Kept:
        same = saved.data_ptr() == place and saved.numel() == length
        return partial(_shaped, again, saved.shape) if same else saved

    def unpack(kept: Kept) -> Tensor:
        return kept if isinstance(kept, Tensor) else kept()

    return saved_tensors_hooks(pack, unpack)


def _shaped(again: Callable[[], Tensor], shape: Size) -> Tensor:
    return again().reshape(shape)
