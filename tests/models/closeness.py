"""How near two computations are, forwards and backwards."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def gradients(function: Callable[..., Tensor], inputs: Sequence[Tensor]) -> list[Tensor]:
    """-> the result of `function`, and the gradient of a fixed random weighting of it in each input."""
    leaves = [x.clone().requires_grad_() for x in inputs]
    result = function(*leaves)
    weights = torch.randn(result.shape, generator=torch.Generator().manual_seed(1)).to(result.dtype)
    found = torch.autograd.grad((result * weights).sum(), leaves)
    return [result.detach(), *found]


def apart(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    """-> the largest difference of a pair in norm, relative to the norm of the second.

    A norm below 1 counts as 1: what is zero by a formula is rounding in both.
    """
    pairs = zip(ours, theirs, strict=True)
    return max(float((a.double() - b.double()).norm() / b.double().norm().clamp_min(1.0)) for a, b in pairs)
