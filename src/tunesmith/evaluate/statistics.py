"""What a difference between two systems is worth: always paired, on the same items.

Interval: bootstrap over items, percentiles widened for small samples (Hesterberg 2015, arXiv 1411.5279, section 3.3).
Test: McNemar's exact test for right/wrong, else sign flips; for statistics of a whole corpus, swaps of the two systems'
items (approximate randomisation, Noreen 1989). Items that belong together (clusters) are drawn, flipped and swapped
whole (Miller 2024, arXiv 2411.00640).

Shapes: N items, C clusters (C = N when none are given), K numbers per item, R resamples in a chunk.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, norm, t

LEVEL = 0.05
INNER = 0.10  # two one-sided tests at 5 % are a 90 % interval that lies within the margin
RESAMPLES = 10_000
SMALLEST = 6  # with fewer items no outcome is rare enough: 2 / 2**5 > 0.05
POWERED = float(
    norm.ppf(1 - LEVEL / 2) + norm.ppf(0.8)
)  # a true difference of 2.8 standard errors is seen 4 times in 5
_CHUNK = 4_000_000  # numbers held at once, about 32 MB
_TIE = 1e-12  # two sums of the same numbers in another order

Measure = Callable[[np.ndarray], np.ndarray]
"""(R, N, K) -> (R,): a statistic of a corpus, for many corpora at once."""


@dataclass(frozen=True, slots=True)
class Difference:
    """After minus before, on the same items."""

    mean: float
    low: float  # of the 95 % interval
    high: float
    p: float
    n: int
    verdict: str
    """`better`, `worse`, or `no detectable difference (...)`."""
    detectable: float | None
    """The difference that this comparison would have seen 4 times in 5; None when it could see none."""
    inner: tuple[float, float] | None = None
    """The 90 % interval, which equivalence is judged by; None when there are too few items to judge it."""


def paired_difference(
    before: Sequence[float],
    after: Sequence[float],
    *,
    higher_is_better: bool,
    clusters: Sequence[object] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Compare two systems by a number per item; the mean over the items is what counts.

    `clusters` names, for each item, what it belongs to (a passage, a template).
    """
    first, second = np.asarray(before, float), np.asarray(after, float)
    assert first.shape == second.shape and first.ndim == 1, "a paired comparison needs the same items on both sides"
    gain = second - first
    groups = _groups(clusters, len(gain))
    sums, sizes = np.bincount(groups, gain), np.bincount(groups)
    binary = bool(np.isin(first, (0, 1)).all() and np.isin(second, (0, 1)).all()) and len(sums) == len(gain)
    generator = np.random.default_rng(seed)
    drawn = _bootstrap_means(sums, sizes, resamples, generator)
    p = _mcnemar(gain) if binary else _sign_flips(sums, resamples, generator)
    return _judge(float(gain.mean()) if len(gain) else 0.0, drawn, p, (len(gain), len(sums), binary), higher_is_better)


def paired_statistic(  # noqa: PLR0913 - what is compared, and how it is judged
    measure: Measure,
    before: np.ndarray,
    after: np.ndarray,
    *,
    higher_is_better: bool,
    resamples: int = RESAMPLES,
    seed: int = 0,
    by_swaps: bool = False,
) -> Difference:
    """Compare two systems by a statistic that is no mean over items: perplexity, macro-F1.

    `before` and `after` are (N, K): what the measure needs of each item, the same items on both sides. `by_swaps`: the
    interval is the difference with the spread of the swaps, for a statistic that copies of an item make larger, such as
    a calibration error; the intervals of resamples are far too wide there.
    """
    assert before.shape == after.shape and before.ndim == 2, "a paired comparison needs the same items on both sides"
    count = len(before)
    if not count:
        return _judge(0.0, np.zeros(1), 1.0, (0, 0, False), higher_is_better)
    generator = np.random.default_rng(seed)
    mean = float((measure(after[None]) - measure(before[None]))[0])
    drawn, flipped = [], []
    for rows in chunks(resamples, 4 * before.size):
        at = generator.integers(count, size=(rows, count))
        drawn.append(measure(after[at]) - measure(before[at]))
        swap = generator.integers(2, size=(rows, count, 1), dtype=np.int8).astype(bool)
        flipped.append(measure(np.where(swap, before, after)) - measure(np.where(swap, after, before)))
    swapped = np.concatenate(flipped)
    p = _share_as_far(swapped, mean)
    spread = mean + swapped if by_swaps else np.concatenate(drawn)
    return _judge(mean, spread, p, (count, count, False), higher_is_better)


def _groups(clusters: Sequence[object] | None, count: int) -> np.ndarray:
    """-> (N,) the number of each item's cluster."""
    if clusters is None:
        return np.arange(count)
    assert len(clusters) == count, "each item belongs to a cluster"
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(cluster, len(numbers)) for cluster in clusters], dtype=np.int64)


def chunks(resamples: int, numbers_each: int) -> Iterator[int]:
    """-> how many resamples to make at once, until there are all; each holds `numbers_each` numbers."""
    at_once = max(1, _CHUNK // max(1, numbers_each))
    for start in range(0, resamples, at_once):
        yield min(at_once, resamples - start)


def _bootstrap_means(sums: np.ndarray, sizes: np.ndarray, resamples: int, generator: np.random.Generator) -> np.ndarray:
    """(C,), (C,) -> (resamples,) means over items, whole clusters drawn with replacement."""
    if not len(sums):
        return np.zeros(1)
    drawn = []
    for rows in chunks(resamples, 2 * len(sums)):
        at = generator.integers(len(sums), size=(rows, len(sums)))
        drawn.append(sums[at].sum(1) / sizes[at].sum(1))
    return np.concatenate(drawn)


def _mcnemar(gain: np.ndarray) -> float:
    """Exact: of the items that changed, is the share that changed for the better a fair coin's?"""
    won, changed = int((gain > 0).sum()), int((gain != 0).sum())
    return float(binomtest(won, changed).pvalue) if changed else 1.0


def _sign_flips(sums: np.ndarray, resamples: int, generator: np.random.Generator) -> float:
    """How often a sum is as far from zero as this one when each sign is a coin. Exact when all can be tried."""
    count = len(sums)
    if 2**count <= resamples:
        signs = (np.arange(2**count)[:, None] >> np.arange(count) & 1) * 2 - 1
        return float((np.abs(signs @ sums) >= np.abs(sums.sum()) - _slack(sums)).mean())
    flipped = []
    for rows in chunks(resamples, 2 * count):
        heads = generator.integers(2, size=(rows, count), dtype=np.int8)
        flipped.append((heads * 2.0 - 1.0) @ sums)
    return _share_as_far(np.concatenate(flipped), float(sums.sum()))


def _slack(values: np.ndarray) -> float:
    return float(_TIE * np.abs(values).sum())


def _share_as_far(flipped: np.ndarray, seen: float) -> float:
    # The outcome that was seen is one of those that could have been: p is never zero.
    as_far = int((np.abs(flipped) >= abs(seen) * (1 - 1e-9) - _TIE).sum())
    return (as_far + 1) / (len(flipped) + 1)


def _judge(
    mean: float, drawn: np.ndarray, p: float, counts: tuple[int, int, bool], higher_is_better: bool
) -> Difference:
    """Interval, detectable size and words. `counts`: items, clusters, and whether the items are right or wrong."""
    items, independent, binary = counts
    low, high = interval(drawn, independent)
    if independent < SMALLEST:
        words = f"no detectable difference (too few items: {independent}, at least {SMALLEST} are needed)"
        return Difference(mean, low, high, p, items, words, None)
    # With right and wrong, fewer than six changes, all one way, are never rare enough, however small the spread is.
    detectable = max(POWERED * float(drawn.std()), SMALLEST / independent if binary else 0.0)
    inner = interval(drawn, independent, INNER)
    if binary:  # what no item did, 3 of as many others may do (rule of three): resampling alone would never say so
        inner = min(inner[0], mean - 3 / independent), max(inner[1], mean + 3 / independent)
    if p < LEVEL and (low > 0 or high < 0):
        words = "better" if (mean > 0) == higher_is_better else "worse"
    else:
        words = f"no detectable difference (could have seen {detectable:.2g})"
    return Difference(mean, low, high, p, items, words, detectable, inner)


def interval(drawn: np.ndarray, independent: int, level: float = LEVEL) -> tuple[float, float]:
    """Percentiles, taken further out by what Student's t and n / (n - 1) ask for."""
    if independent < 2:
        return float(drawn.min()), float(drawn.max())
    reach = t.ppf(1 - level / 2, independent - 1) * math.sqrt(independent / (independent - 1))
    tail = float(norm.cdf(-reach))
    low, high = np.quantile(drawn, (tail, 1 - tail))
    return float(low), float(high)
