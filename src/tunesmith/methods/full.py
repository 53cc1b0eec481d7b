"""Full fine-tuning: all weights may change, or those of some layers. The dearest method, the yardstick of others."""

import re
from typing import Any, Literal

from pydantic import Field
from torch import Tensor, nn

from tunesmith.core.errors import UserError, near
from tunesmith.methods.inject import matches
from tunesmith.methods.method import MethodConfig

_LAYER = re.compile(r"(?:^|\.)(?:layers?|h|blocks)\.(\d+)\.")
"""Where the name of a parameter numbers the layer that it belongs to."""


class Full(MethodConfig):
    """Train the weights themselves."""

    kind: Literal["full"] = "full"
    targets: tuple[str, ...] | None = None
    """Parameters by the end of their name or by a pattern, for example ["layers.29.*"]; all of them by default."""
    last_layers: int | None = Field(None, ge=1)
    """Only the last so many layers. The norm and the head behind them train when `targets` names them."""
    freeze: tuple[str, ...] = ()
    """Parameters that stay as they are whatever else is said, for example ["embed_tokens"]."""

    @property
    def learning_rate(self) -> float:
        return 2e-5

    @property
    def reason(self) -> str:
        return "1e-5 to 2e-5 is what full fine-tuning of pretrained language models bears without forgetting much"

    @property
    def needs_dense(self) -> str | None:
        return "for it changes the weights themselves; remove one of them, or take method=qlora"

    def attach(self, network: nn.Module) -> None:
        """Unfreeze what is named and freeze the rest. Raises UserError when a pattern or number finds nothing."""
        known = dict(network.named_parameters())
        if self.targets is None and self.last_layers is None:
            trained = set(known)
        else:
            trained = _named(known, self.targets or (), "method.targets") | _last(known, self.last_layers)
        trained -= _named(known, self.freeze, "method.freeze")
        if not trained:
            raise UserError("method.freeze: nothing is left to train; freeze less")
        for name, parameter in known.items():
            parameter.requires_grad_(name in trained)

    def detach(self, network: nn.Module) -> None:
        """Nothing was added: freeze the weights again."""
        network.requires_grad_(False)

    def merge(self, network: nn.Module) -> None:
        """The weights are already in place."""

    def stored(self, network: nn.Module) -> dict[str, Tensor]:
        """-> every weight that training may have changed."""
        return {name: p for name, p in network.named_parameters() if p.requires_grad}

    def described(self, network: nn.Module) -> dict[str, Any]:
        return {}


def _named(known: dict[str, nn.Parameter], patterns: tuple[str, ...], key: str) -> set[str]:
    """-> the parameters that the patterns name. Raises UserError for a pattern that names none."""
    found: set[str] = set()
    for pattern in patterns:
        own = {name for name in known if inside(name, pattern)}
        if not own:
            raise UserError(f"{key}: `{pattern}` matches no parameter{_near(pattern, list(known))}")
        found |= own
    return found


def _last(known: dict[str, nn.Parameter], count: int | None) -> set[str]:
    """-> the parameters of the last `count` numbered layers. Raises UserError when there are not so many."""
    if count is None:
        return set()
    numbers = {name: int(layer[1]) for name in known if (layer := _LAYER.search(name))}
    layers = max(numbers.values(), default=-1) + 1
    if count > layers:
        raise UserError(f"method.last_layers: {count} is more than the {layers} layers that this base has")
    return {name for name, number in numbers.items() if number >= layers - count}


def _near(pattern: str, names: list[str]) -> str:
    """Names of modules and parameters that look alike: whole ones and their last parts."""
    parts = dict.fromkeys(part for name in names for part in name.split(".") if not part.isdigit())
    return near(pattern, [*parts, *names])


def inside(name: str, pattern: str) -> bool:
    """Whether a pattern names the parameter `name` or a module above it."""
    parts = name.split(".")
    return any(matches(".".join(parts[:i]), pattern) for i in range(1, len(parts) + 1))
