"""BitFit: train the bias terms alone (https://arxiv.org/abs/2106.10199).

y = W x + b + d        d zero at the start

Bases without any bias (Llama and most since) get d behind every linear layer. PEFT stores no such thing by itself: the
format is our own, docs/reference/adapters.md.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from tunesmith.core.errors import UserError
from tunesmith.core.headed import outside_head
from tunesmith.core.layers import sizes
from tunesmith.methods.inject import ALL_LINEAR, Targets, choose, find_linear, linear_maps, wrap, wrapped
from tunesmith.methods.layer import StoredLayer, device_of
from tunesmith.methods.layered import Layered
from tunesmith.methods.peft_names import short_names


class BiasLayer(StoredLayer):
    """A frozen linear map or norm and what is added to its bias, float32 whatever the base is."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__(base)
        own = bias_of(base)
        size = sizes(base)[1] if own is None else len(own)
        self.bias_change = nn.Parameter(torch.zeros(size, device=device_of(base)))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.base(x)
        return y + (self.strength * self.bias_change).to(y.dtype) if self.active else y

    def merged(self) -> nn.Module:
        own = bias_of(self.base)
        assert own is not None
        with torch.no_grad():
            own.copy_(own.float() + self.strength * self.bias_change)
        return self.base

    def tensors(self) -> dict[str, Tensor]:
        return {"bias_change": self.bias_change}


def bias_of(module: nn.Module) -> Tensor | None:
    """-> (O,), the bias of a linear map or a norm; None where there is none."""
    own = getattr(module, "bias", None)
    return own if isinstance(own, Tensor) and own.ndim == 1 and own.is_floating_point() else None


class BitFit(Layered):
    """Train biases only: one number for each output of a layer."""

    layers: ClassVar[type[StoredLayer]] = BiasLayer

    kind: Literal["bitfit"] = "bitfit"
    targets: Targets | None = None
    """Layers by the end of their name or by a pattern, or `all-linear`. None: every bias that the base has, those of
    its norms too; for a base that has none, every linear layer but the output head, with a bias that begins at zero."""

    @property
    def learning_rate(self) -> float:
        return 1e-3

    @property
    def reason(self) -> str:
        return "biases alone need a high rate: the paper's best are 1e-4 to 1e-3, far above those of whole models"

    def attach(self, network: nn.Module) -> None:
        """Put a change of zero behind each target. Raises UserError without a target."""
        wrap(network, self._found(network), lambda _, base: BiasLayer(base))

    def _found(self, network: nn.Module) -> dict[str, nn.Module]:
        biased = {name: module for name, module in outside_head(network) if bias_of(module) is not None}
        if self.targets is None and biased:
            return biased
        if self.targets is None or self.targets == ALL_LINEAR:
            return find_linear(network, ALL_LINEAR)
        return choose(network, linear_maps(network) | biased, self.targets, "method.targets")

    def cannot_merge(self, network: nn.Module) -> str | None:
        """Before `attach` and after it."""
        bases = {name: layer.base for name, layer in wrapped(network, BiasLayer)} or self._found(network)
        homeless = next((name for name, base in bases.items() if bias_of(base) is None), None)
        if homeless is None:
            return None
        family = getattr(getattr(network, "config", None), "model_type", "this")
        return f"a plain {family} model has no bias at {homeless} that could hold what was trained"

    def merge(self, network: nn.Module) -> None:
        """Add every change to the bias that is there: all of them, or UserError and no change."""
        if (reason := self.cannot_merge(network)) is not None:
            raise UserError(f"merge: {reason}; use the adapter with its base")
        for name, layer in dict(wrapped(network, BiasLayer)).items():
            network.set_submodule(name, layer.merged())

    def described(self, network: nn.Module) -> dict[str, Any]:
        names = [name for name, _ in wrapped(network, BiasLayer)]
        return {"peft_type": "TUNESMITH_BITFIT", "target_modules": short_names(network, names)}

    @classmethod
    def from_peft(cls, described: Mapping[str, Any], network: nn.Module) -> "BitFit":
        return cls(targets=tuple(described["target_modules"]))
