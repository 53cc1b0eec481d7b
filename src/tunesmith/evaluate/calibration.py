"""Whether a classifier is as often right as it is sure.

ece     the mean over bins of |accuracy - confidence|, bins of equal mass, weighted by their items
        (https://arxiv.org/abs/1706.04599; of equal mass as in https://arxiv.org/abs/1904.01685)
brier   sum over classes of (p_c - [c = y])^2 (Brier 1950, Mon. Weather Rev. 78)
T       one number by which all scores are divided, the one with which other rows are likeliest (1706.04599, section 4)

Shapes: R corpora at once, N items, C classes, B bins.
"""

from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

BINS = 15
COOLEST, HOTTEST = 0.05, 20.0


def ece(rows: np.ndarray) -> np.ndarray:
    """(R, N, 2), confidence and whether it was right -> (R,)."""
    order = np.argsort(rows[..., 0], axis=-1, kind="stable")
    ordered = np.take_along_axis(rows, order[..., None], axis=-2)
    apart = ordered[..., 1] - ordered[..., 0]  # (R, N)
    parts = np.array_split(apart, min(BINS, apart.shape[-1]), axis=-1)
    gaps = np.stack([np.abs(part.sum(-1)) for part in parts])  # (B, R): of a bin its items times its gap
    return gaps.sum(0) / apart.shape[-1]


def brier(probabilities: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """(N, C), (N,) -> (N,)."""
    return ((probabilities - np.eye(probabilities.shape[1])[gold]) ** 2).sum(-1)


def sureness(probabilities: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """(N, C), (N,) -> (N, 2), the probability of the likeliest class, and whether it is the right one."""
    return np.stack([probabilities.max(-1), probabilities.argmax(-1) == gold], -1)


def nll(probabilities: np.ndarray, gold: np.ndarray) -> float:
    """(N, C), (N,) -> mean of -log p of the right class."""
    right = np.take_along_axis(probabilities, gold[:, None], 1)
    return float(-np.log(np.maximum(right, 1e-300)).mean())


def reliability(rows: np.ndarray) -> list[dict[str, float]]:
    """(N, 2) -> of each bin its items, the mean confidence, and the share that was right."""
    ordered = rows[np.argsort(rows[:, 0], kind="stable")]
    parts = np.array_split(ordered, min(BINS, len(ordered)))
    return [
        {"items": len(part), "confidence": float(part[:, 0].mean()), "accuracy": float(part[:, 1].mean())}
        for part in parts
    ]


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """(N, C) -> (N, C), as if all scores had been divided by `temperature`."""
    logs = np.log(np.maximum(probabilities, 1e-300)) / temperature
    weights = np.exp(logs - logs.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def fit_temperature(probabilities: np.ndarray, gold: np.ndarray) -> float:
    """(N, C), (N,) -> the temperature that makes these rows the likeliest."""
    found: Any = minimize_scalar(
        lambda log: nll(tempered(probabilities, float(np.exp(log))), gold),
        bounds=(np.log(COOLEST), np.log(HOTTEST)),
        method="bounded",
    )
    return float(np.exp(found.x))
