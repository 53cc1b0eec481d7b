"""What every method answers; the sensible answer of most is given here. `core.protocols.Method` is the face."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from tunesmith.core.config import Config


@dataclass(frozen=True, slots=True)
class Given:
    """What a method may look at before the first step: the training rows, and nothing that is held out."""

    examples: Sequence[Sequence[int]]  # as tokens
    encode: Callable[[str], list[int]]  # a text as tokens
    feed: Callable[[], None]  # sends some of the rows through the model, without gradients


class MethodConfig(Config):
    """The configuration of a method is the method."""

    bare: ClassVar[bool] = False
    """Whether it changes nothing of a network: what learns is then the objective's."""

    @property
    def learning_rate(self) -> float:
        """The rate when the recipe names none."""
        raise AssertionError("every method has a rate of its own")

    @property
    def reason(self) -> str:
        """Why that rate, in a few words."""
        raise AssertionError("every method gives its reason")

    @property
    def needs_dense(self) -> str | None:
        """-> why not over a quantized base: `for it changes the weights themselves; ...`; None when it can be."""
        return None

    def attach(self, network: nn.Module) -> None:
        """Freeze `network` and put trainable parts into its tree. Raises UserError, with the tree as it was."""
        raise AssertionError("every method attaches")

    @property
    def starts_as_base(self) -> bool:
        """Whether the attached and untrained model says what the base says."""
        return True

    @property
    def needs_data(self) -> bool:
        """Whether `prepare` does anything."""
        return False

    @property
    def reads_rows(self) -> bool:
        """Whether those first values come from the training rows."""
        return self.needs_data

    def prepare(self, network: nn.Module, given: Given) -> None:
        """Give the attached parts first values that depend on the rows."""

    def detach(self, network: nn.Module) -> None:
        """Take everything out again: the tree is as it was before `attach`."""
        raise AssertionError("every method can be taken out")

    def cannot_merge(self, network: nn.Module) -> str | None:
        """-> why no plain model can hold the result, in a sentence that is said before training; None when one can."""
        return None

    def merge(self, network: nn.Module) -> None:
        """Write the change into the weights and take the layers out: all of them, or UserError and no change."""
        raise AssertionError("a method merges, or says in `cannot_merge` why not")

    def stored(self, network: nn.Module) -> dict[str, Tensor]:
        """-> what a file must hold, by its names in PEFT's format below `base_model.model.`."""
        raise AssertionError("every method stores something")

    def described(self, network: nn.Module) -> dict[str, Any]:
        """-> the keys of `adapter_config.json` that belong to this method, `peft_type` among them."""
        raise AssertionError("every method describes its file")

    @classmethod
    def from_peft(cls, described: Mapping[str, Any], network: nn.Module) -> Self:
        """The method that an `adapter_config.json` describes, its names resolved in `network`. Raises UserError."""
        raise AssertionError("every method reads its file")

    def rates(self, network: nn.Module) -> dict[str, float]:
        """-> by the name of a parameter, how many times the learning rate it gets; 1 for those that are not named."""
        return {}
