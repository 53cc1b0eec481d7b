"""What a suite is: a question about what a tuning changed, asked of base and tuned model on the same items."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunesmith.core.errors import UserError
from tunesmith.evaluate.family import Gathered, judged
from tunesmith.report.suites import MetricFound, SuiteFound

if TYPE_CHECKING:
    from tunesmith.suites.subject import Subject

Item = Mapping[str, Any]
"""What is asked: plain values. Its content is the key under which the answers to it are kept."""
Answers = Sequence[Any]
"""What one model did on the items, in their order: plain values."""


class Unfit(UserError):  # noqa: N818 - a state, not an act
    """A suite that cannot be asked of this run: an error where it was named, a note where all were asked for."""


def columns(pairs: Sequence[Any], of: Callable[[Any], float]) -> list[list[float]]:
    """-> a number of each answer, of the base and of the tuned model."""
    return [[of(pair[side]) for pair in pairs] for side in (0, 1)]


@dataclass(frozen=True, slots=True)
class Suite:
    name: str
    about: str
    find: Callable[["Subject"], SuiteFound]
    probes: tuple[str, ...] = ()  # names of the catalogue that must be on the disk
    writes: bool = True  # whether it asks for text, which a network with a head cannot write
    slow: str = ""  # what makes it slow, said before it begins


@dataclass(slots=True)
class Family(Gathered):
    """The metrics of one suite, gathered one by one and judged together."""

    def metrics(self) -> dict[str, MetricFound]:
        return {name: MetricFound(**told) for name, told in judged(self.found).items()}
