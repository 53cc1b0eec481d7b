"""What a method does on the same items over several seeds, and what the difference between two of them is worth.

theta_k = m(items of seed k)        the estimate is their mean over the K seeds
se^2 = var_k(theta) / K + var*(mean over seeds), var* over bootstrap samples of the items, all seeds together
interval: estimate -+ t(df) se, df by Satterthwaite (1946): (v1 + v2)^2 / (v1^2 / (K - 1) + v2^2 / (N - 1))

So the luck of the seed and the luck of the items are both in it. What a seed does to a single item is counted in both
terms: the interval is a little too wide rather than too narrow. With one seed, the luck of the seed is unknown, and the
interval is that of the items alone.

Shapes: K seeds, N items, C numbers per item, R resamples in a chunk.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from tunesmith.evaluate.statistics import (
    LEVEL,
    POWERED,
    SMALLEST,
    Difference,
    Measure,
    chunks,
    paired_statistic,
)

RESAMPLES = 2_000  # for a standard error: it is known to 2 % then


@dataclass(frozen=True, slots=True)
class Level:
    """A value and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float


def level(measure: Measure, rows: np.ndarray, *, share: bool = False, seed: int = 0) -> Level:
    """(K, N, C) -> what the metric is. `share`: it is a share of items, and its interval stays within 0 and 1."""
    mean, error, freedom = _estimate(measure, rows, None, seed)
    reach = float(t.ppf(1 - LEVEL / 2, freedom))
    if share:
        return Level(mean, *_wilson(mean, error, reach, rows.shape[1]))
    return Level(mean, mean - reach * error, mean + reach * error)


def difference(
    measure: Measure, before: np.ndarray, after: np.ndarray, *, higher_is_better: bool, seed: int = 0
) -> Difference:
    """(K, N, C) or (1, N, C), (K, N, C) -> after minus before on the same items; seeds are paired by their order."""
    assert before.shape[1:] == after.shape[1:], "a paired comparison needs the same items on both sides"
    assert len(before) in (1, len(after)), "each seed has its partner, or all have the same"
    seeds, items = after.shape[:2]
    if seeds == 1 or not items:
        return paired_statistic(measure, before[0], after[0], higher_is_better=higher_is_better, seed=seed)
    mean, error, freedom = _estimate(measure, after, before, seed)
    if items < SMALLEST:
        words = f"no detectable difference (too few items: {items}, at least {SMALLEST} are needed)"
        return Difference(mean, mean - abs(mean), mean + abs(mean), 1.0, items, words, None)
    reach = float(t.ppf(1 - LEVEL / 2, freedom))
    p = float(2 * t.sf(abs(mean) / error, freedom)) if error else float(mean == 0)
    low, high, detectable = mean - reach * error, mean + reach * error, POWERED * error
    if low > 0 or high < 0:
        words = "better" if (mean > 0) == higher_is_better else "worse"
    else:
        words = f"no detectable difference (could have seen {detectable:.2g})"
    return Difference(mean, low, high, max(p, 1 / (RESAMPLES + 1)), items, words, detectable)


def _estimate(measure: Measure, rows: np.ndarray, less: np.ndarray | None, seed: int) -> tuple[float, float, float]:
    """-> the mean over the seeds, of `rows` or of `rows` less `less`; its standard error; the degrees of freedom."""
    seeds, items = rows.shape[:2]

    def each(at: np.ndarray) -> np.ndarray:
        """(R, N) -> (K, R): the metric of each seed on the items drawn."""
        found = _measured(measure, rows, at)
        return found if less is None else found - _measured(measure, less, at)

    own = each(np.arange(items)[None])[:, 0]
    generator = np.random.default_rng(seed)
    drawn = [each(generator.integers(items, size=(rows_, items))).mean(0) for rows_ in chunks(RESAMPLES, 2 * rows.size)]
    of_items = float(np.concatenate(drawn).var()) * items / max(1, items - 1)
    of_seeds = float(own.var(ddof=1)) / seeds if seeds > 1 else 0.0
    both = of_items + of_seeds
    parts = of_items**2 / max(1, items - 1) + (of_seeds**2 / (seeds - 1) if seeds > 1 else 0.0)
    return float(own.mean()), math.sqrt(both), both**2 / parts if parts else float(max(1, items - 1))


def _measured(measure: Measure, rows: np.ndarray, at: np.ndarray) -> np.ndarray:
    """(K, N, C), (R, N) -> (K, R)."""
    drawn = rows[:, at]  # (K, R, N, C)
    return measure(drawn.reshape(-1, *drawn.shape[2:])).reshape(drawn.shape[:2])


def _wilson(share: float, error: float, reach: float, items: int) -> tuple[float, float]:
    """Wilson's interval (1927) for as many independent items as have this standard error; for `items` when it is 0."""
    count = share * (1 - share) / error**2 if error and 0 < share < 1 else items
    square = reach**2 / count
    middle = (share + square / 2) / (1 + square)
    half = math.sqrt(share * (1 - share) * square + square**2 / 4) / (1 + square)
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))
