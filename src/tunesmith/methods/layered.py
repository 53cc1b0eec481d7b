"""Methods whose every part is a layer in the place of a module: what they have in common."""

from typing import ClassVar

from torch import Tensor, nn

from tunesmith.core.errors import UserError
from tunesmith.methods.inject import wrapped
from tunesmith.methods.layer import StoredLayer
from tunesmith.methods.lora import refuse_quantized
from tunesmith.methods.method import MethodConfig
from tunesmith.methods.tied import untie


class Layered(MethodConfig):
    """Found again, stored and taken out by the type of its layers."""

    layers: ClassVar[type[StoredLayer]]

    def detach(self, network: nn.Module) -> None:
        """Put back what each layer stands for: the tree is as it was before `attach`."""
        for name, layer in wrapped(network, self.layers):
            network.set_submodule(name, layer.base)

    def merge(self, network: nn.Module) -> None:
        """Write every layer's change into the weights of its base and take the layers out: all of them, or UserError.

        A head that shares its weight with the embedding gets one of its own.
        """
        if (reason := self.cannot_merge(network)) is not None:
            raise UserError(f"merge: {reason}; use the adapter with its base")
        layers = dict(wrapped(network, self.layers))
        for name, layer in layers.items():
            refuse_quantized(name, layer.base)
        for name, layer in layers.items():
            untie(network, layer.base)
            network.set_submodule(name, layer.merged())

    def stored(self, network: nn.Module) -> dict[str, Tensor]:
        layers = wrapped(network, self.layers)
        return {f"{name}.{end}": tensor for name, layer in layers for end, tensor in layer.tensors().items()}
