"""What a suite is: a question about what a tuning changed, asked of base and tuned model on the same items."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tunesmith.core.errors import UserError
from tunesmith.evaluate.family import Better, Compared, judged
from tunesmith.evaluate.statistics import Measure, paired_difference, paired_statistic
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


Spread = Literal["resampled", "swapped", "untested"]
"""Where the interval comes from (`swapped`: see `by_swaps` of `paired_statistic`); `untested`: it alone decides."""
RESAMPLES = 2_000  # of statistics: the ends of an interval then vary by 1.5 % of its width


@dataclass(slots=True)
class Family:
    """The metrics of one suite, gathered one by one and judged together."""

    margin: float
    found: dict[str, Compared] = field(default_factory=dict)

    def means(
        self,
        name: str,
        sides: Sequence[Sequence[float]],
        better: Better,
        clusters: Sequence[object] | None = None,
        unit: float = 1.0,
    ) -> None:
        """A mean over items, of base and tuned model. `unit`: what the margin is a share of; 1 for shares of items."""
        before, after = sides
        difference = paired_difference(before, after, higher_is_better=better == "higher", clusters=clusters)
        base, tuned = (float(np.mean(side)) if len(side) else 0.0 for side in sides)
        self.found[name] = Compared(base, tuned, difference, better, self.margin * unit)

    def statistic(
        self, name: str, measure: Measure, sides: Sequence[np.ndarray], better: Better, spread: Spread = "resampled"
    ) -> None:
        """A statistic of all items, whose margin is a share of what the base has."""
        before, after = sides
        higher, swaps = better == "higher", spread == "swapped"
        difference = paired_statistic(
            measure, before, after, higher_is_better=higher, resamples=RESAMPLES, by_swaps=swaps
        )
        base, tuned = (float(measure(side[None])[0]) if len(side) else 0.0 for side in sides)
        margin = self.margin * abs(base) or None
        self.found[name] = Compared(base, tuned, difference, better, margin, spread != "untested")

    def metrics(self) -> dict[str, MetricFound]:
        return {name: MetricFound(**told) for name, told in judged(self.found).items()}
