"""Full fine-tuning: every weight may change. The dearest method, and the yardstick of all others."""

from typing import Any, Literal

from torch import Tensor, nn

from tunesmith.core.errors import UserError, near
from tunesmith.methods.inject import matches
from tunesmith.methods.method import MethodConfig


class Full(MethodConfig):
    """Train the weights themselves."""

    kind: Literal["full"] = "full"
    targets: tuple[str, ...] | None = None
    """Parameters by the end of their name or by a pattern, for example ["layers.29.*"]; all of them by default."""

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
        """Unfreeze the targets and freeze the rest. Raises UserError when a pattern matches nothing."""
        network.requires_grad_(self.targets is None)
        for pattern in self.targets or ():
            found = [p for name, p in network.named_parameters() if _inside(name, pattern)]
            if not found:
                raise UserError(f"method.targets: `{pattern}` matches no parameter{_near(pattern, network)}")
            for parameter in found:
                parameter.requires_grad_(True)

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


def _near(pattern: str, network: nn.Module) -> str:
    """Names of modules and parameters that look alike: whole ones and their last parts."""
    names = [name for name, _ in network.named_parameters()]
    parts = dict.fromkeys(part for name in names for part in name.split(".") if not part.isdigit())
    return near(pattern, [*parts, *names])


def _inside(name: str, pattern: str) -> bool:
    """A pattern names a parameter or a module above it."""
    parts = name.split(".")
    return any(matches(".".join(parts[:i]), pattern) for i in range(1, len(parts) + 1))
