"""The statistics held against chance: false alarms where nothing changed, and how often an interval holds the truth.

Each line is `TRIALS` simulated comparisons. A/A: both sides are drawn alike, and `better` or `worse` is a false alarm:
3.6 to 6.4 % of them, what 1,000 fair trials at 5 % give. Tests of right and wrong are exact, and may only be below.
Coverage: the truth is known, and the interval must hold it in 93 to 97 %.

    python scripts/check_statistics.py            # the table; exit status 1 when a number is out of its bounds
    python scripts/check_statistics.py mean/10    # some lines only
"""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tunesmith.evaluate.before_after import perplexity
from tunesmith.evaluate.calibration import ece
from tunesmith.evaluate.family import Compared, judged
from tunesmith.evaluate.membership import above_chance, auc, epsilon_bound
from tunesmith.evaluate.over_seeds import difference
from tunesmith.evaluate.statistics import Difference, paired_difference, paired_statistic

TRIALS = 1_000
RESAMPLES = 999
ALARMS, COVERED = (3.6, 6.4), (93.0, 97.0)
LOUD = ("better", "worse")

Draw = np.random.Generator
Found = tuple[bool | None, bool | None]  # a false alarm; whether the interval holds the truth


@dataclass(frozen=True)
class Line:
    trial: Callable[[Draw, int], Found]
    alarms: tuple[float, float] = ALARMS
    covered: tuple[float, float] = COVERED
    trials: int = TRIALS


def mean(n: int, skewed: bool = False) -> Callable[[Draw, int], Found]:
    def trial(draw: Draw, seed: int) -> Found:
        before, after = draw.normal(size=(2, n))
        alarm = paired_difference(before, after, higher_is_better=True, resamples=RESAMPLES, seed=seed)
        gain = draw.gamma(4, 0.5, size=n) - 2 if skewed else draw.normal(size=n)
        truth = paired_difference(np.zeros(n), gain + 0.3, higher_is_better=True, resamples=RESAMPLES, seed=seed)
        return alarm.verdict in LOUD, truth.low <= 0.3 <= truth.high

    return trial


def share(n: int) -> Callable[[Draw, int], Found]:
    """Right and wrong: the two systems differ on one item in five, twice as often for the better in the second case."""

    def trial(draw: Draw, seed: int) -> Found:
        before, after = (draw.random((2, n)) < 0.7).astype(float)
        alarm = paired_difference(before, after, higher_is_better=True, resamples=RESAMPLES, seed=seed)
        change = draw.choice([-1.0, 0.0, 1.0], p=[0.1, 0.7, 0.2], size=n)
        first = np.where(change < 0, 1.0, np.where(change > 0, 0.0, draw.integers(2, size=n)))
        truth = paired_difference(first, first + change, higher_is_better=True, resamples=RESAMPLES, seed=seed)
        return alarm.verdict in LOUD, truth.low <= 0.1 <= truth.high

    return trial


def ratio(n: int) -> Callable[[Draw, int], Found]:
    """Perplexity: texts of unequal length, each as hard for one as for the other, give or take."""

    def trial(draw: Draw, seed: int) -> Found:
        tokens = draw.integers(20, 120, size=n)
        hard = draw.gamma(40, 3 / 40, size=n)
        sides = [np.stack([tokens * (hard + draw.normal(0, 0.05, size=n)), tokens], 1) for _ in range(2)]
        alarm = paired_statistic(perplexity, *sides, higher_is_better=False, resamples=RESAMPLES, seed=seed)
        return alarm.verdict in LOUD, alarm.low <= 0 <= alarm.high

    return trial


def clusters(count: int) -> Callable[[Draw, int], Found]:
    names = np.repeat(np.arange(count), 5).tolist()

    def trial(draw: Draw, seed: int) -> Found:
        before, after = (draw.normal(size=(2, count, 1)) + 0.3 * draw.normal(size=(2, count, 5))).reshape(2, -1)
        found = paired_difference(before, after, higher_is_better=True, clusters=names, resamples=RESAMPLES, seed=seed)
        return found.verdict in LOUD, found.low <= 0 <= found.high

    return trial


def seeds(draw: Draw, seed: int) -> Found:
    """Three seeds of each method: the luck of the seed and that of the items."""
    items = draw.normal(size=(1, 40, 1))
    sides = [items + 0.3 * draw.normal(size=(3, 1, 1)) + draw.normal(size=(3, 40, 1)) for _ in range(2)]
    found = difference(lambda rows: rows[..., 0].mean(-1), *sides, higher_is_better=True, seed=seed)
    return found.verdict in LOUD, found.low <= 0 <= found.high


def calibrated(n: int) -> Callable[[Draw, int], Found]:
    def trial(draw: Draw, seed: int) -> Found:
        sure = draw.uniform(0.4, 1, size=(2, n))
        sides = [np.stack([s, (draw.random(n) < s).astype(float)], 1) for s in sure]
        found = paired_statistic(ece, *sides, higher_is_better=False, resamples=399, seed=seed, by_swaps=True)
        return found.verdict in LOUD, found.low <= 0 <= found.high

    return trial


def family(draw: Draw, seed: int) -> Found:
    """Eight metrics of which none changed: is any of them called better or worse?"""
    found = {
        str(i): Compared(
            0, 0, paired_difference(*draw.normal(size=(2, 40)), higher_is_better=True, resamples=RESAMPLES), "higher"
        )
        for i in range(8)
    }
    return any(one["verdict"] in LOUD for one in judged(found).values()), None


def equivalent(n: int) -> Callable[[Draw, int], Found]:
    """The truth lies on the margin: how often is it said to lie within?"""
    margin = 3 / math.sqrt(n)

    def trial(draw: Draw, seed: int) -> Found:
        gain = draw.normal(margin, 1, size=n)
        found = paired_difference(np.zeros(n), gain, higher_is_better=True, resamples=RESAMPLES, seed=seed)
        assert found.inner is not None
        return found.inner[0] > -margin and found.inner[1] < margin, None

    return trial


def attack(n: int) -> Callable[[Draw, int], Found]:
    """Trained rows score one standard deviation higher: the area is Phi(1 / sqrt 2) = 0.760."""
    truth = 0.5 * (1 + math.erf(0.5)) - 0.5

    def trial(draw: Draw, seed: int) -> Found:
        null: Difference = above_chance(auc, 0.5, draw.normal(size=n), draw.normal(size=n), resamples=399)
        found = above_chance(auc, 0.5, draw.normal(1, 1, size=n), draw.normal(size=n), resamples=399)
        return null.low > 0 or null.high < 0, found.low <= truth <= found.high

    return trial


def epsilon(draw: Draw, seed: int) -> Found:
    """Randomised response with epsilon 1: a bound above 1 is false, and may occur once in twenty."""
    tell = math.e / (1 + math.e)
    members, others = (draw.random(400) < tell).astype(float), (draw.random(400) >= tell).astype(float)
    return epsilon_bound(members, others, seed) > 1, None


BELOW = (0.0, 6.4)
LINES: dict[str, Line] = {
    **{f"mean/{n}": Line(mean(n)) for n in (10, 20, 40, 150)},
    **{f"mean, skewed/{n}": Line(mean(n, skewed=True)) for n in (20, 40, 150)},
    **{f"share/{n}": Line(share(n), BELOW) for n in (20, 100, 500)},
    **{f"perplexity/{n}": Line(ratio(n)) for n in (10, 20, 60)},
    "clusters of 5/10": Line(clusters(10), trials=3 * TRIALS),  # the fewest: 1,000 trials are too rough to judge it
    "clusters of 5/30": Line(clusters(30)),
    "over 3 seeds/40": Line(seeds),
    **{f"calibration error/{n}": Line(calibrated(n)) for n in (60, 200)},
    "8 metrics, Holm/40": Line(family),
    **{f"equivalence at the margin/{n}": Line(equivalent(n)) for n in (10, 40)},
    **{f"membership, area/{n}": Line(attack(n)) for n in (30, 150)},
    "epsilon/400": Line(epsilon, BELOW),
}
"""By statistic and number of items."""


def measured(line: Line) -> tuple[float, float | None]:
    """-> the percentages of false alarms and of intervals that held the truth."""
    draw, trials = np.random.default_rng(0), line.trials
    found = [line.trial(draw, seed) for seed in range(trials)]
    covered = [c for _, c in found if c is not None]
    return 100 * sum(bool(a) for a, _ in found) / trials, 100 * sum(covered) / trials if covered else None


def within(line: Line, alarms: float, covered: float | None) -> bool:
    held = covered is None or line.covered[0] <= covered <= line.covered[1]
    return held and line.alarms[0] <= alarms <= line.alarms[1]


def main() -> None:
    asked = sys.argv[1:] or list(LINES)
    print("statistic, items | false alarms | truth held |\n---|---|---|---")
    failed = False
    for name in asked:
        alarms, covered = measured(LINES[name])
        right = within(LINES[name], alarms, covered)
        failed |= not right
        held = "" if covered is None else f"{covered:.1f} %"
        print(f"{name} | {alarms:.1f} % | {held} | {'' if right else 'OUT OF BOUNDS'}", flush=True)
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
