"""No change of the network at all: what learns is the new word of the objective (textual inversion)."""

from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from tunesmith.methods.method import MethodConfig


class Token(MethodConfig):
    """Learn the word of `objective.token` alone."""

    bare: ClassVar[bool] = True
    kind: Literal["token"] = "token"

    @property
    def learning_rate(self) -> float:
        return 4e-3

    @property
    def reason(self) -> str:
        return "the few numbers of a word want long steps; the recipe of diffusers comes to 2e-3"

    def attach(self, network: nn.Module) -> None:
        network.requires_grad_(False)

    def detach(self, network: nn.Module) -> None:
        """There is nothing to take out."""

    def merge(self, network: nn.Module) -> None:
        """There is nothing to write."""

    def stored(self, network: nn.Module) -> dict[str, Tensor]:
        return {}

    def described(self, network: nn.Module) -> dict[str, Any]:
        return {}
