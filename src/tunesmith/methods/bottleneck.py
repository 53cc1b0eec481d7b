"""Bottleneck adapters: small networks behind or beside the parts of each layer.

pfeiffer    y + s up(act(down(y)))           behind the feed-forward part         https://arxiv.org/abs/2005.00247
houlsby     the same                         behind attention as well             https://arxiv.org/abs/1902.00751
parallel    F(x) + s up(act(down(x)))        beside the feed-forward part F       https://arxiv.org/abs/2110.04366

`up` is zero at the start. PEFT has no such method: the format is our own, docs/reference/adapters.md.

Shapes: N tokens, I inputs, O outputs, B width of the bottleneck.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from tunesmith.core.errors import UserError
from tunesmith.core.layers import is_linear_map, sizes
from tunesmith.methods.inject import Targets, choose, linear_maps, wrap, wrapped
from tunesmith.methods.layer import StoredLayer, device_of
from tunesmith.methods.layered import Layered
from tunesmith.methods.peft_names import short_names
from tunesmith.methods.roles import ATTENTION_OUTPUT, feed_forward_ends, feed_forwards, in_role

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu}


class BottleneckLayer(StoredLayer):
    """A frozen module and the small network, of float32 whatever the base is."""

    def __init__(self, base: nn.Module, sizes: tuple[int, int, int], *, scale: float, activation: str) -> None:
        super().__init__(base)
        inputs, narrow, outputs = sizes
        self.adapter_down = nn.Linear(inputs, narrow, device=device_of(base), dtype=torch.float32)
        self.adapter_up = nn.Linear(narrow, outputs, device=device_of(base), dtype=torch.float32)
        nn.init.zeros_(self.adapter_up.weight)
        nn.init.zeros_(self.adapter_up.bias)
        self.scale, self.activation = scale, ACTIVATIONS[activation]

    def small(self, x: Tensor) -> Tensor:
        """-> s up(act(down(x)))."""
        scale = self.scale * self.strength
        inner = self.activation(_mapped(x, self.adapter_down, 1.0))  # (N, B)
        return _mapped(inner * scale, self.adapter_up, scale)

    def tensors(self) -> dict[str, Tensor]:
        return {name: value for name, value in self.named_parameters() if name.startswith("adapter_")}


class Behind(BottleneckLayer):
    """It reads what the base makes."""

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        y: Tensor = self.base(*inputs, **named)
        return y + self.small(y) if self.active else y


class Parallel(BottleneckLayer):
    """It reads what the base reads: `core.layers.Beside`."""

    def added(self, x: Tensor) -> Tensor | None:
        return self.small(x) if self.active else None

    def forward(self, x: Tensor) -> Tensor:
        added, y = self.added(x), self.base(x)
        return y if added is None else y + added


def _mapped(x: Tensor, layer: nn.Linear, bias: float) -> Tensor:
    return F.linear(x, layer.weight.to(x.dtype), (bias * layer.bias).to(x.dtype))


class Bottleneck(Layered):
    """Small networks between the layers of the base. They cannot be merged, and cost a little time of every answer."""

    layers: ClassVar[type[StoredLayer]] = BottleneckLayer

    kind: Literal["bottleneck"] = "bottleneck"
    place: Literal["pfeiffer", "houlsby", "parallel"] = "pfeiffer"
    """pfeiffer: behind each feed-forward part. houlsby: behind each attention as well, twice as many. parallel: beside
    each feed-forward part, reading what it reads."""
    reduction: int = Field(16, ge=1, le=4096)
    """How many times narrower than the model each of them is."""
    activation: Literal["relu", "gelu", "silu"] = "relu"
    """What stands between the two maps of each."""
    scale: float | None = Field(None, gt=0, allow_inf_nan=False)
    """What each is multiplied by. None: 4 when parallel, as its authors found best, else 1."""
    targets: Targets | None = None
    """Linear layers, feed-forward parts or mixtures of experts by the end of their name or by a pattern, to put one
    behind (or beside) each. None: what `place` says, found by name."""

    @property
    def learning_rate(self) -> float:
        return 5e-4

    @property
    def reason(self) -> str:
        return "adapters are trained with 1e-4 to 1e-3; they begin as nothing and have to grow"

    def attach(self, network: nn.Module) -> None:
        """Put a small network that does nothing yet at each place. Raises UserError without one."""
        found = self._found(network)
        names = list(found)
        if inside := next((n for n in names if any(n.startswith(other + ".") for other in names)), None):
            raise UserError(f"method.targets: {inside} lies inside of another target; choose one of the two")
        wrap(network, found, lambda name, base: self._layer(name, base, network))

    def _found(self, network: nn.Module) -> dict[str, nn.Module]:
        if self.targets is not None:
            return choose(network, linear_maps(network) | feed_forwards(network), self.targets, "method.targets")
        found = feed_forwards(network) if self.place == "parallel" else feed_forward_ends(network)
        if self.place == "houlsby":
            found = in_role(network, ATTENTION_OUTPUT) | found
        if not found:
            raise UserError("method.place: no feed-forward part is known by its name in this base; name `targets`")
        return found

    def _layer(self, name: str, base: nn.Module, network: Any) -> BottleneckLayer:
        inputs, outputs = sizes(base) if is_linear_map(base) else 2 * (network.config.hidden_size,)
        parallel = self.place == "parallel"
        read = inputs if parallel else outputs
        if self.reduction > read:
            raise UserError(f"method.reduction: {self.reduction} is more than the width {read} of {name}")
        shape = (read, read // self.reduction, outputs)
        return (Parallel if parallel else Behind)(base, shape, scale=self._scale, activation=self.activation)

    @property
    def _scale(self) -> float:
        return self.scale or (4.0 if self.place == "parallel" else 1.0)

    def cannot_merge(self, network: nn.Module) -> str | None:
        return "a bottleneck adapter is a network of its own, and no weight of a plain model can hold it"

    def described(self, network: nn.Module) -> dict[str, Any]:
        return {
            "peft_type": "TUNESMITH_BOTTLENECK",
            "place": self.place,
            "reduction": self.reduction,
            "activation": self.activation,
            "scale": self._scale,
            "target_modules": short_names(network, [name for name, _ in wrapped(network, BottleneckLayer)]),
        }

    @classmethod
    def from_peft(cls, described: Mapping[str, Any], network: nn.Module) -> "Bottleneck":
        same = {key: described[key] for key in ("place", "reduction", "activation", "scale")}
        return cls(targets=tuple(described["target_modules"]), **same)
