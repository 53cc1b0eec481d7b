"""What a method puts in the place of a module: the module itself, and what is added to it while it is active."""

from typing import Self

import torch
from torch import Tensor, nn


class Layer(nn.Module):
    """The common face: switched by `active`, weakened by `strength`, taken out by putting `base` back.

    A strength of 1 is what was trained, 0 is the base; layers may stand over layers.
    """

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base
        self.active = True
        self.strength = 1.0

    @property
    def root(self) -> nn.Module:
        """What lies beneath all layers: the base's own module."""
        below = self.base
        while isinstance(below, Layer):
            below = below.base
        return below

    def over(self, base: nn.Module, strength: float = 1.0) -> Self:
        """-> a twin of this layer over another module; its tensors are these very ones, nothing is copied."""
        twin = type(self).__new__(type(self))
        modules = {**self._modules, "base": base}
        twin.__dict__.update(self.__dict__, _modules=modules, active=True, strength=strength)
        return twin

    def merged(self) -> nn.Module:
        """The base module with the change written into its weights, in float32 and rounded once."""
        raise AssertionError("a method whose layers cannot be merged says so in `cannot_merge`")


class StoredLayer(Layer):
    """A layer that knows what of it a file holds."""

    def tensors(self) -> dict[str, Tensor]:
        """-> its values by the end of their names in the file."""
        raise AssertionError("every stored layer names its tensors")


def device_of(base: nn.Module) -> torch.device:
    """Where a module is, quantized ones too."""
    tensors = [*base.parameters(), *base.buffers()]
    return tensors[0].device
