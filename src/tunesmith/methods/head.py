"""What trains beside a method on a network that ends in scores: its head, as PEFT's `modules_to_save` does it.

y = H(x)        H a copy of the head in float32, whatever the base is; it begins as the head was

Switched off, the head is what it was before the first step: new and random, or the one that the base came with. Under
full fine-tuning the head trains in its place, like all other weights.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Self

import torch
from pydantic import SerializeAsAny
from torch import Tensor, nn

from tunesmith.core.errors import UserError
from tunesmith.core.headed import head_modules, mark_of
from tunesmith.methods.full import Full, inside
from tunesmith.methods.inject import wrapped
from tunesmith.methods.layer import StoredLayer
from tunesmith.methods.method import Given, MethodConfig

VIRTUAL = ("prefix", "prompt", "ptuning")


class HeadLayer(StoredLayer):
    """A frozen head and the copy that trains."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__(base)
        self.own = deepcopy(base).float().requires_grad_(True)

    def forward(self, x: Tensor) -> Tensor:
        if not self.active:
            return self.base(x)
        y: Tensor = self.own(x.float())
        if self.strength == 1:
            return y
        before = self.base(x).float()
        return before + self.strength * (y - before)

    def merged(self) -> nn.Module:
        with torch.no_grad():
            for name, weight in self.base.named_parameters():
                weight.copy_(weight.float() + self.strength * (self.own.get_parameter(name) - weight.float()))
        return self.base

    def tensors(self) -> dict[str, Tensor]:
        return dict(self.own.named_parameters())


def with_head(method: MethodConfig, network: nn.Module) -> MethodConfig:
    """-> `method`, and the head beside it where `network` has one. Raises UserError for what encoders cannot bear."""
    mark = mark_of(network)
    if mark is None:
        return method
    kind = str(getattr(method, "kind", ""))
    if mark.encoder and kind in VIRTUAL:
        raise UserError(
            f"method.kind: {kind} puts virtual tokens before the text, and this encoder answers from its first token; "
            "take lora, ia3, bitfit, bottleneck or full"
        )
    return WithHead(inner=method)


class WithHead(MethodConfig):
    """A method and the head beside it, with the verbs of a method. What is not said here is the method's to say."""

    inner: SerializeAsAny[MethodConfig]

    @property
    def learning_rate(self) -> float:
        return self.inner.learning_rate

    @property
    def reason(self) -> str:
        return self.inner.reason

    @property
    def needs_dense(self) -> str | None:
        return self.inner.needs_dense

    @property
    def starts_as_base(self) -> bool:
        return self.inner.starts_as_base

    @property
    def needs_data(self) -> bool:
        return self.inner.needs_data

    def prepare(self, network: nn.Module, given: Given) -> None:
        self.inner.prepare(network, given)

    def attach(self, network: nn.Module) -> None:
        """The method first, which freezes all that it does not train; it never takes a layer of the head."""
        self.inner.attach(network)
        if isinstance(self.inner, Full):
            for name, parameter in network.named_parameters():
                if any(name.startswith(module + ".") for module in head_modules(network)):
                    parameter.requires_grad_(not any(inside(name, pattern) for pattern in self.inner.freeze))
            return
        for name in head_modules(network):
            network.set_submodule(name, HeadLayer(network.get_submodule(name)))

    def detach(self, network: nn.Module) -> None:
        for name, layer in wrapped(network, HeadLayer):
            network.set_submodule(name, layer.base)
        self.inner.detach(network)

    def cannot_merge(self, network: nn.Module) -> str | None:
        return self.inner.cannot_merge(network)

    def merge(self, network: nn.Module) -> None:
        self.inner.merge(network)
        for name, layer in wrapped(network, HeadLayer):
            network.set_submodule(name, layer.merged())

    def stored(self, network: nn.Module) -> dict[str, Tensor]:
        layers = wrapped(network, HeadLayer)
        own = {f"{name}.{end}": tensor for name, layer in layers for end, tensor in layer.tensors().items()}
        return self.inner.stored(network) | own

    def described(self, network: nn.Module) -> dict[str, Any]:
        found = self.inner.described(network)
        beside = {"modules_to_save": list(head_modules(network)), "task_type": "SEQ_CLS"}
        return found | beside if found else {}

    @classmethod
    def from_peft(cls, described: Mapping[str, Any], network: nn.Module) -> Self:
        raise AssertionError("a file names the method; the network has the head")

    def rates(self, network: nn.Module) -> dict[str, float]:
        return self.inner.rates(network)
