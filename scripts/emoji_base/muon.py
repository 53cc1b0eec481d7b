"""Muon (Jordan et al. 2024): momentum whose matrices are replaced by the nearest orthogonal ones before each step.

The step of a weight has the same size in all directions, so that directions with small gradients learn too. A kernel of
a convolution counts as one matrix, outputs by all the rest.
"""

import torch
from torch import Tensor, nn

_MOMENTUM = 0.95
_TERMS = (3.4445, -4.7750, 2.0315)  # of the quintic whose iteration brings singular values near 1
_TURNS = 5


class Muon(torch.optim.Optimizer):
    """Weights of two dimensions or more. The step is a matrix of singular values near `lr`, more for tall ones."""

    def __init__(self, weights: list[nn.Parameter], lr: float, weight_decay: float = 0.0) -> None:
        super().__init__(weights, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                state["momentum"].lerp_(weight.grad, 1 - _MOMENTUM)
                ahead = weight.grad.lerp(state["momentum"], _MOMENTUM)  # Nesterov's look ahead
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                rows, columns = ahead.flatten(1).shape
                size = max(1.0, rows / columns) ** 0.5
                weight.add_(orthogonal(ahead.flatten(1)).view_as(weight), alpha=-group["lr"] * size)


def orthogonal(matrix: Tensor) -> Tensor:
    """(M, N) -> (M, N), its singular values brought near 1 by Newton and Schulz's iteration; in bfloat16."""
    a, b, c = _TERMS
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = (x / (x.norm() + 1e-7)).bfloat16()
    for _ in range(_TURNS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return (x.T if matrix.shape[0] > matrix.shape[1] else x).to(matrix.dtype)
