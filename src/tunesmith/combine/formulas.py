"""How several tensors become one, by the names that PEFT gives the formulas (its `add_weighted_adapter`).

linear           sum_i w_i T_i
magnitude_prune  sum_i w_i trim(T_i)                                 the `density` largest of each stay
dare_linear      sum_i w_i drop(T_i) / density                       https://arxiv.org/abs/2311.03099
ties             sum_i w_i trim(T_i) / n, of those n that have the elected sign    https://arxiv.org/abs/2306.01708
dare_ties        the same with drop(T_i) / density in the place of trim(T_i)

The elected sign of a number is that of the sum of the trimmed tensors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

FORMULAS = ("linear", "ties", "dare_linear", "dare_ties", "magnitude_prune")
"""Of tensors: of the factors, or with `_svd` of the whole updates."""
HOW = ("linear", "cat", "svd", *FORMULAS[1:], *(f"{name}_svd" for name in FORMULAS[1:]))
"""All ways. `cat` sets factors side by side and `svd` is `linear` of whole updates: both are exact sums."""


@dataclass(frozen=True, slots=True)
class Formula:
    """One of `FORMULAS` with what it needs."""

    name: str
    density: float = 1.0  # the share of numbers that stay

    def of(self, tensors: Sequence[Tensor], weights: Sequence[float], draw: torch.Generator) -> Tensor:
        """-> one tensor of the shape that all of `tensors` have."""
        kept = [self._thinned(tensor, draw) for tensor in tensors]
        stack = torch.stack(kept)
        weighted = stack * torch.tensor(weights).view(-1, *[1] * (stack.ndim - 1))
        if "ties" not in self.name:
            return weighted.sum(0)
        agree = stack.sign() == torch.where(stack.sum(0) >= 0, 1, -1)
        return (weighted * agree).sum(0) / agree.sum(0).clamp(min=1)

    def _thinned(self, tensor: Tensor, draw: torch.Generator) -> Tensor:
        if self.name == "linear" or self.density >= 1:
            return tensor
        if self.name.startswith("dare"):
            return tensor * torch.bernoulli(torch.full_like(tensor, self.density), generator=draw) / self.density
        largest = tensor.abs().flatten().topk(int(self.density * tensor.numel())).indices
        mask = torch.zeros_like(tensor).flatten().index_fill_(0, largest, 1.0)
        return tensor * mask.view_as(tensor)
