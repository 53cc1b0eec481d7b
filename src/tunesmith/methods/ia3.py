"""(IA)^3: learned vectors that scale keys, values and what the feed-forward part reads last.

keys, values     y = l * (W x + b)        l begins at one
feed-forward     y = W (l * x) + b

Paper: https://arxiv.org/abs/2205.05638. Format: PEFT's IA3. Where one linear map makes queries, keys and values (GPT-2,
GPT-NeoX), the queries are scaled as well, as in PEFT.

Shapes: N tokens, I inputs, O outputs.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from tunesmith.core.errors import UserError
from tunesmith.core.layers import is_transposed, sizes, weight_of
from tunesmith.methods.inject import Targets, find_linear, linear_maps, wrap, wrapped
from tunesmith.methods.layer import StoredLayer, device_of
from tunesmith.methods.layered import Layered
from tunesmith.methods.peft_names import FILE, any_end, refuse, short_names, targeted
from tunesmith.methods.roles import FEED_FORWARD_OUTPUT, KEYS_VALUES, in_role


class IA3Layer(StoredLayer):
    """A frozen linear map and a vector, of float32 whatever the base is."""

    def __init__(self, base: nn.Module, *, inner: bool) -> None:
        super().__init__(base)
        inputs, outputs = sizes(base)
        shape = (1, inputs) if inner else (outputs, 1)
        self.inner = inner
        self.scale = nn.Parameter(torch.ones(shape, device=device_of(base)))

    @property
    def change(self) -> Tensor:
        """-> (I,) or (O,), by how much more than once."""
        return self.strength * (self.scale.flatten() - 1)

    def forward(self, x: Tensor) -> Tensor:
        if not self.active:
            return self.base(x)
        return self.base(stretched(x, self.change)) if self.inner else stretched(self.base(x), self.change)

    def merged(self) -> nn.Module:
        with torch.no_grad():
            whole = 1 + self.change
            weight = weight_of(self.base, torch.float32)
            weight.copy_(weight.float() * (whole if self.inner else whole[:, None]))
            bias = getattr(self.base, "bias", None)
            if isinstance(bias, Tensor) and not self.inner:
                bias.copy_(bias.float() * whole)
        return self.base

    def tensors(self) -> dict[str, Tensor]:
        return {"ia3_l": self.scale}


def stretched(x: Tensor, change: Tensor) -> Tensor:
    """x * (1 + change) over the last axis. In half precision 1 + change itself would lose most of a small change."""
    return Stretch.apply(x, change.to(x.dtype))


class Stretch(torch.autograd.Function):
    """`stretched`, rounded once; keeps x and the vector. The plain twin is `x * (1 + change)`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, change: Tensor) -> Tensor:
        ctx.save_for_backward(x, change)
        return torch.addcmul(x, x, change)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, change = ctx.saved_tensors
        dy = grads[0]
        dx = torch.addcmul(dy, dy, change) if ctx.needs_input_grad[0] else None
        return dx, (dy * x).flatten(0, -2).sum(0)


class IA3(Layered):
    """Scale keys, values and inner activations by learned vectors: a few thousand numbers in all."""

    layers: ClassVar[type[StoredLayer]] = IA3Layer

    kind: Literal["ia3"] = "ia3"
    targets: Targets | None = None
    """Layers whose outputs are scaled. None: those that make attention's keys and values, found by their names."""
    feedforward: Targets | None = None
    """Layers whose inputs are scaled. None: the last of each feed-forward part, found by their names. A mixture of
    experts has none, for its experts are no layers: there attention alone is scaled. A layer of both counts here."""

    @property
    def learning_rate(self) -> float:
        return 5e-3

    @property
    def reason(self) -> str:
        return "a vector near one has to move by percents: 3e-3 to 5e-3 are in use, with the paper's 3e-3 among them"

    def attach(self, network: nn.Module) -> None:
        """Put a vector of ones before or behind each target. Raises UserError without a target."""
        inner = self._inner(network)
        outer = in_role(network, KEYS_VALUES) if self.targets is None else find_linear(network, self.targets)
        found = {name: module for name, module in linear_maps(network).items() if name in {*outer, *inner}}
        if not found:
            ends = dict.fromkeys(name.rpartition(".")[2] for name in linear_maps(network))
            raise UserError(f"method.targets: no keys and values are known by their names; choose of {', '.join(ends)}")
        wrap(network, found, lambda name, base: IA3Layer(base, inner=name in inner))

    def _inner(self, network: nn.Module) -> dict[str, nn.Module]:
        if self.feedforward is None:
            return in_role(network, FEED_FORWARD_OUTPUT)
        return find_linear(network, self.feedforward, "method.feedforward")

    def described(self, network: nn.Module) -> dict[str, Any]:
        layers: dict[str, Any] = dict(wrapped(network, IA3Layer))
        inner = short_names(network, [name for name, layer in layers.items() if layer.inner])
        outer = short_names(network, [name for name, layer in layers.items() if not layer.inner])
        return {
            "peft_type": "IA3",
            "target_modules": sorted([*inner, *outer]),
            "feedforward_modules": inner,
            "fan_in_fan_out": any(is_transposed(layer.base) for layer in layers.values()),
            "init_ia3_weights": True,
            "modules_to_save": None,
        }

    @classmethod
    def from_peft(cls, described: Mapping[str, Any], network: nn.Module) -> "IA3":
        refuse(described, ["modules_to_save"])
        if (wanted := described.get("feedforward_modules")) is None:
            raise UserError(f"{FILE}: `feedforward_modules` is missing; write which layers have their inputs scaled")
        names = list(targeted(network, described))
        inner = [name for name in names if any_end(name, wanted, "feedforward_modules")]
        return cls(targets=tuple(name for name in names if name not in inner), feedforward=tuple(inner))
