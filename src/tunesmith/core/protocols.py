"""The faces by which the parts of a run know each other."""

from collections.abc import Mapping
from typing import ClassVar, Literal, Protocol, TypeVar

from torch import Tensor, nn

from tunesmith.core.batch import Batch, TokenBatch
from tunesmith.core.loss import Loss

Model = TypeVar("Model", contravariant=True)
Examples = TypeVar("Examples", bound=Batch, contravariant=True)


Eats = Literal["tokens", "pairs", "rated", "prompts", "targets", "ranked", "pictures"]
"""The kinds of examples: tokens to learn; answers of which one is better; answers each of which is wanted or not;
prompts whose answers are still to be written; texts with a class or a value; answers of which one is better, where a
head scores them; and pictures."""
Ending = Literal["words", "classes", "value", "pictures"]
"""What a network must end in: words of its vocabulary, a score for each class, one number, or pictures."""


class LanguageModel(Protocol):
    """Packed tokens in, the log-probability of each labelled token out."""

    def __call__(self, batch: TokenBatch, /) -> Tensor: ...  # -> (L,), float32, in the order of the labels


class Objective(Protocol[Model, Examples]):
    """A deterministic function: the formula of one paper."""

    eats: ClassVar[Eats]
    ending: ClassVar[Ending]  # what the network must end in
    refers: ClassVar[bool]  # whether it looks at what a frozen reference says

    def __call__(self, model: Model, batch: Examples) -> Loss: ...


class Method(Protocol):
    """How a network may change. Configurations of methods are methods.

    A method finds modules of the finished tree by name, freezes all the rest, and names what must be stored.
    """

    @property
    def learning_rate(self) -> float:
        """The rate to use when the recipe names none."""
        ...

    @property
    def needs_dense(self) -> str | None:
        """-> why not over a quantized base, in a few words; None when it can be."""
        ...

    def attach(self, network: nn.Module) -> None: ...

    def merge(self, network: nn.Module) -> None: ...


State = Mapping[str, Tensor]  # what is stored: a name as in the network, and its values
