"""What a base layer must offer so that a method can build on it (its weight, as a linear map), and what one may add.

One place knows that GPT-2 stores its weight transposed and that a quantized layer has to unpack it first.
"""

from typing import Literal, Protocol, get_args, runtime_checkable

import torch
from torch import Tensor, nn

Quantization = Literal["nf4", "int8"]
"""How the weights of a base may be packed; `models.quantized` does it."""
QUANTIZATIONS: tuple[Quantization, ...] = get_args(Quantization)


@runtime_checkable
class LinearMap(Protocol):
    """A layer that is no `nn.Linear` and can give its weight as one: quantized layers do."""

    in_features: int
    out_features: int

    def dense_weight(self, dtype: torch.dtype) -> Tensor: ...  # (out, in)


@runtime_checkable
class Beside(Protocol):
    """A layer that adds something of its own to what `base` makes of the same input, so that each can run by itself."""

    base: nn.Module

    def added(self, x: Tensor) -> Tensor | None: ...  # None: nothing, it is switched off


@runtime_checkable
class Mixing(Protocol):
    """A layer that serves each row of a batch in a way of its own: all rows must pass, in their order."""

    ways: Tensor  # (B,)


def is_transposed(layer: nn.Module) -> bool:
    """transformers' `Conv1D`, the linear map of GPT-2, keeps its weight as (in, out)."""
    return type(layer).__name__ == "Conv1D" and hasattr(layer, "nf")


def lies_transposed(layer: nn.Module) -> bool:
    """Whether the files of the base hold the weight of a linear map as (in, out), packed in memory or not."""
    return is_transposed(layer) or bool(getattr(layer, "transposed", False))


def is_linear_map(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Linear) or is_transposed(layer) or isinstance(layer, LinearMap)


def is_dense(layer: nn.Module) -> bool:
    """Whether a linear map keeps its weight as plain numbers, so that writing into `weight_of` changes it."""
    plain = isinstance(layer, nn.Linear) or is_transposed(layer)
    return plain and isinstance(layer.weight, Tensor) and layer.weight.is_floating_point()


def sizes(layer: nn.Module) -> tuple[int, int]:
    """-> (in, out) features of a linear map."""
    if is_transposed(layer):
        inner, outer = _weight(layer).shape
        return int(inner), int(outer)
    assert isinstance(layer, nn.Linear | LinearMap)
    return layer.in_features, layer.out_features


def weight_of(layer: nn.Module, dtype: torch.dtype) -> Tensor:
    """-> (out, in), a view where the layer is dense: writing into it changes the layer."""
    if isinstance(layer, nn.Linear):
        return layer.weight
    if is_transposed(layer):
        return _weight(layer).T
    assert isinstance(layer, LinearMap)
    return layer.dense_weight(dtype)


def _weight(layer: nn.Module) -> Tensor:
    assert isinstance(layer.weight, Tensor)
    return layer.weight
