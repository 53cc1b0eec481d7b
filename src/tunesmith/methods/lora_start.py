"""Where the factors of LoRA begin: from the weight itself (PiSSA), or from what flows through the layer (EVA).

PiSSA: A0, B0 are the largest singular directions of W, https://arxiv.org/abs/2404.02948
EVA: the rows of A are the directions in which the layer's inputs vary most, B is zero, https://arxiv.org/abs/2410.07170

Shapes: N tokens, I inputs, O outputs, R rank.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tunesmith.core.layers import weight_of
from tunesmith.methods.inject import wrapped
from tunesmith.methods.lora_layers import LoRALayer, ShiftedLoRALayer

ROUNDS = 4  # of the randomized decomposition; PEFT's `pissa_niter_4` is the same trade
OVER = 8  # directions beyond the rank that make it exact enough


def begin_with_weight(layer: ShiftedLoRALayer) -> None:
    """B0 A0 is the best approximation of W / s that has the rank of the layer."""
    weight = weight_of(layer.base, torch.float32).float() / layer.scale
    u, s, v = torch.svd_lowrank(weight, q=min(layer.rank + OVER, *weight.shape), niter=ROUNDS)
    root = s[: layer.rank].sqrt()
    layer.begin((v[:, : layer.rank] * root).T, u[:, : layer.rank] * root)


def begin_with_inputs(network: nn.Module, feed: Callable[[], None]) -> None:
    """Send data through the network once, and put each layer's strongest input directions into its A."""
    layers = dict(wrapped(network, LoRALayer))
    seen: dict[str, Tensor] = {}
    hooks = [layer.register_forward_pre_hook(_watch(seen, name)) for name, layer in layers.items()]
    try:
        feed()
    finally:
        for hook in hooks:
            hook.remove()
    for name, layer in layers.items():
        if name in seen:
            with torch.no_grad():
                layer.down.copy_(strongest(seen.pop(name), layer.rank))


def _watch(seen: dict[str, Tensor], name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    """Adds up x' x (I, I), from which the singular directions of all inputs follow, however many there are."""

    def hear(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].detach().flatten(0, -2).float()
        squares = x.T @ x
        seen[name] = seen[name].add_(squares) if name in seen else squares

    return hear


def strongest(squares: Tensor, rank: int) -> Tensor:
    """(I, I) -> (R, I), the right singular vectors of the inputs, strongest first; zero rows beyond their number."""
    directions = torch.linalg.eigh(squares).eigenvectors.flip(1)  # (I, I), columns
    found = torch.zeros(rank, len(squares), device=squares.device)
    found[: min(rank, len(squares))] = directions[:, :rank].T
    return found
