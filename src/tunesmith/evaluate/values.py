"""Scores of a regression, in the unit of the user: how far off, and whether the order is right.

Shapes: R corpora at once, N items; the last axis holds what was said and what is true.
"""

import numpy as np
from scipy.stats import rankdata


def mae(rows: np.ndarray) -> np.ndarray:
    """(R, N, 2) -> (R,): the mean absolute error."""
    return np.abs(rows[..., 0] - rows[..., 1]).mean(-1)


def rmse(rows: np.ndarray) -> np.ndarray:
    """(R, N, 2) -> (R,): the root of the mean squared error."""
    return np.sqrt(((rows[..., 0] - rows[..., 1]) ** 2).mean(-1))


def r2(rows: np.ndarray) -> np.ndarray:
    """(R, N, 2) -> (R,): the share of the variance that is explained; 0 is what always saying the mean gives."""
    said, true = rows[..., 0], rows[..., 1]
    spread = ((true - true.mean(-1, keepdims=True)) ** 2).sum(-1)
    return 1 - ((said - true) ** 2).sum(-1) / np.maximum(spread, 1e-12)


def spearman(rows: np.ndarray) -> np.ndarray:
    """(R, N, 2) -> (R,): the correlation of ranks; 0 where one side is always the same."""
    ranks = rankdata(rows, axis=-2)
    ranks -= ranks.mean(-2, keepdims=True)
    both = (ranks[..., 0] * ranks[..., 1]).sum(-1)
    alone = np.sqrt((ranks**2).sum(-2).prod(-1))
    return np.divide(both, alone, out=np.zeros_like(both), where=alone > 0)
