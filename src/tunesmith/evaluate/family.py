"""Comparisons that are read together: corrected for their number, and said in four fixed sentences.

Holm (1979): the k-th smallest of n values of p is multiplied by n - k + 1, and is never below the one before it.
Equivalence (Schuirmann 1987): two one-sided tests, that is, the 90 % interval lies within the margin on both sides.

better, worse                                a difference that chance does not explain, and its direction
changed                                      the same, of a metric that has no better side
equivalent within m                          no such difference, and none of the size m or more
no detectable difference (could have seen d) neither is known
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from tunesmith.evaluate.statistics import LEVEL, POWERED, Difference, Measure, paired_difference, paired_statistic

Better = Literal["higher", "lower", "neither"]
CHANGING = 0.1  # the share of items that a tuning is taken to change, before anything is measured


@dataclass(frozen=True, slots=True)
class Compared:
    """One metric: what base and tuned model have, and what the difference is worth."""

    base: float
    tuned: float
    difference: Difference
    better: Better
    margin: float | None = None
    """In the unit of the metric: the smallest difference that matters."""
    tested: bool = True
    """Whether there is a test; without one the interval alone decides."""


Spread = Literal["resampled", "swapped", "untested"]
"""Where the interval comes from (`swapped`: see `by_swaps` of `paired_statistic`); `untested`: it alone decides."""
RESAMPLES = 2_000  # of statistics: the ends of an interval then vary by 1.5 % of its width


@dataclass(slots=True)
class Gathered:
    """Metrics that are read together, added one by one."""

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


def holm(values: Sequence[float]) -> list[float]:
    """-> each value of p, adjusted for all of them."""
    found = [0.0] * len(values)
    least = 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=lambda i: values[i])):
        least = max(least, min(1.0, (len(values) - rank) * values[place]))
        found[place] = least
    return found


def judged(family: Mapping[str, Compared]) -> dict[str, dict[str, Any]]:
    """-> for each metric its numbers and its words; p is Holm's over the whole family."""
    tested = [name for name, one in family.items() if one.tested]
    adjusted = dict(zip(tested, holm([family[name].difference.p for name in tested]), strict=True))
    return {name: _told(one, adjusted.get(name)) for name, one in family.items()}


def _told(one: Compared, p: float | None) -> dict[str, Any]:
    found = one.difference
    return {
        "base": one.base,
        "tuned": one.tuned,
        "difference": found.mean,
        "low": found.low,
        "high": found.high,
        "p": p,
        "verdict": words(one, p),
        "n": found.n,
        "better": one.better,
    }


def words(one: Compared, p: float | None) -> str:
    """-> the sentence. `p`: adjusted; None where the interval alone decides."""
    found = one.difference
    if found.detectable is None:
        return found.verdict  # too few items: it says how many are needed
    if (p is None or p < LEVEL) and (found.low > 0 or found.high < 0):
        if one.better == "neither":
            return "changed"
        return "better" if (found.mean > 0) == (one.better == "higher") else "worse"
    margin = one.margin
    if margin is not None and found.inner is not None and -margin < found.inner[0] and found.inner[1] < margin:
        return f"equivalent within {margin:.2g}"
    return f"no detectable difference (could have seen {found.detectable:.2g})"


def visible(items: int) -> float:
    """-> the difference of shares that so many items show 4 times in 5, when one in ten changes: before measuring."""
    return min(1.0, POWERED * float((CHANGING / items) ** 0.5)) if items else 1.0


def needed(margin: float) -> int:
    """-> how many items show a difference of shares of `margin` 4 times in 5, when one in ten changes."""
    return int(-(-CHANGING * POWERED**2 // margin**2))
