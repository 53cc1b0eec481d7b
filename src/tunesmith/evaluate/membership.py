"""Whether a score tells the rows that were trained on from others, and what that says of privacy.

auc      the probability that a trained row scores above another one (Mann and Whitney 1947); 1/2 is chance
tpr      the share of trained rows found while at most `fpr` of the others are taken for such (Carlini et al. 2022,
         2112.03570: what matters is the few that are found for certain)
epsilon  >= ln((tpr - delta) / fpr), and the same of the two errors, with Clopper and Pearson's bounds of both: no
         training that keeps a smaller promise of differential privacy could be told apart so well (Jagielski et al.
         2020, 2006.07709). The threshold is chosen on one half of the rows, and the bound is taken on the other.

Shapes: M trained rows, N others.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy.stats import beta, rankdata

from tunesmith.evaluate.statistics import INNER, LEVEL, POWERED, Difference, interval

RESAMPLES = 2_000
DELTA = 1e-5
THRESHOLDS = 50  # that are tried on the first half


def auc(members: np.ndarray, others: np.ndarray) -> float:
    """(M,), (N,) -> the area under the curve; equal scores count half."""
    ranks = rankdata(np.concatenate([members, others]))[: len(members)]
    return float((ranks.sum() - len(members) * (len(members) + 1) / 2) / (len(members) * len(others)))


def tpr_at(fpr: float, members: np.ndarray, others: np.ndarray) -> float:
    """(M,), (N,) -> the share of members above a threshold that at most `fpr` of the others pass."""
    allowed = math.floor(fpr * len(others) + 1e-9)
    threshold = np.sort(others)[::-1][allowed]
    return float((members > threshold).mean())


def above_chance(
    measure: Callable[[np.ndarray, np.ndarray], float],
    chance: float,
    members: np.ndarray,
    others: np.ndarray,
    resamples: int = RESAMPLES,
) -> Difference:
    """-> how far a measure of an attack is above chance, with an interval over both groups of rows; no test."""
    draw = np.random.default_rng(0)
    found = np.array(
        [
            measure(draw.choice(members, len(members)), draw.choice(others, len(others))) - chance
            for _ in range(resamples)
        ]
    )
    few = min(len(members), len(others))
    low, high = interval(found, few, LEVEL)
    mean = measure(members, others) - chance
    return Difference(
        mean, low, high, 1.0, len(members) + len(others), "", POWERED * float(found.std()), interval(found, few, INNER)
    )


def epsilon_bound(members: np.ndarray, others: np.ndarray, seed: int = 0) -> float:
    """(M,), (N,) -> a lower bound of epsilon that holds 95 times in 100; 0 where nothing can be said."""
    draw = np.random.default_rng(seed)
    first, second = _halves(draw, members, others)
    tried = np.quantile(np.concatenate(first), np.linspace(0, 1, THRESHOLDS))
    best = max(tried, key=lambda t: max(_bounds(t, *first)))
    side = int(np.argmax(_bounds(best, *first)))
    return max(0.0, _bounds(best, *second)[side])


def most(members: int, others: int) -> float:
    """-> the largest bound that so many rows can give: that of an attack which is always right."""
    return max(0.0, max(_bounds(0.5, np.ones(members - members // 2), np.zeros(others - others // 2))))


def _halves(draw: np.random.Generator, members: np.ndarray, others: np.ndarray) -> list[list[np.ndarray]]:
    mixed = [draw.permutation(part) for part in (members, others)]
    return [[part[: len(part) // 2] for part in mixed], [part[len(part) // 2 :] for part in mixed]]


def _bounds(threshold: float, members: np.ndarray, others: np.ndarray) -> tuple[float, float]:
    found, wrong = int((members > threshold).sum()), int((others > threshold).sum())
    return (
        _log_ratio(_at_least(found, len(members)), _at_most(wrong, len(others))),
        _log_ratio(_at_least(len(others) - wrong, len(others)), _at_most(len(members) - found, len(members))),
    )


def _log_ratio(high: float, low: float) -> float:
    return math.log((high - DELTA) / low) if high > DELTA else -math.inf


def _at_least(count: int, total: int) -> float:
    return float(beta.ppf(LEVEL / 2, count, total - count + 1)) if count else 0.0


def _at_most(count: int, total: int) -> float:
    return float(beta.ppf(1 - LEVEL / 2, count + 1, total - count)) if count < total else 1.0
