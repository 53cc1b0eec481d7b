"""A plain classifier of texts: TF-IDF of words and word pairs, logistic regression by L-BFGS."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_matrix, diags

_MOST = 50_000  # words and pairs that are looked at, the most frequent ones
_LEAST = 2
_PENALTY = 0.1  # on the squared weights, divided by the rows
_STEPS = 30

Words = tuple[str, ...]


def features(texts: Sequence[Words]) -> csr_matrix:
    """-> (N, F) each row of length 1: sublinear counts times the log of how rare a word is."""
    rows = [Counter([*text, *map(" ".join, pairwise(text))]) for text in texts]
    spread: Counter[str] = Counter()
    for row in rows:
        spread.update(row.keys())
    known = {word: n for n, (word, count) in enumerate(spread.most_common(_MOST)) if count >= _LEAST}
    places, values, ends = [], [], [0]
    for row in rows:
        kept = [(known[word], count) for word, count in row.items() if word in known]
        places.append(np.array([place for place, _ in kept], dtype=np.int32))
        values.append(1 + np.log(np.array([count for _, count in kept], dtype=np.float32)))
        ends.append(ends[-1] + len(kept))
    flat = np.concatenate(places) if places else np.zeros(0, dtype=np.int32)
    matrix = csr_matrix((np.concatenate(values), flat, ends), shape=(len(rows), max(1, len(known))), dtype=np.float32)
    rare = np.log((1 + len(rows)) / (1 + np.bincount(flat, minlength=matrix.shape[1]))) + 1
    matrix = matrix @ diags(rare.astype(np.float32))
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return csr_matrix(diags(1 / np.maximum(length, 1e-9)) @ matrix)


def fitted(x: csr_matrix, y: np.ndarray, classes: int) -> np.ndarray:
    """-> (F + 1, C) weights of the least mean log loss plus penalty; the last row is what is added to each class."""
    shape = (x.shape[1] + 1, classes)
    truth = np.zeros((x.shape[0], classes), dtype=np.float32)
    truth[np.arange(len(y)), y] = 1
    turned = x.T.tocsr()

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(shape)
        sure = probabilities(x, weights)
        miss = -float(np.log(np.maximum(sure[truth > 0], 1e-12)).mean())
        pull = _PENALTY / len(y)
        miss += pull * float((weights[:-1] ** 2).sum()) / 2
        error = (sure - truth) / len(y)
        grad = np.vstack([turned @ error + pull * weights[:-1], error.sum(axis=0, keepdims=True)])
        return miss, grad.ravel().astype(np.float64)

    done = minimize(loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": _STEPS})
    return np.asarray(done.x.reshape(shape))


def probabilities(x: csr_matrix, weights: np.ndarray) -> np.ndarray:
    """-> (N, C)"""
    logits = x @ weights[:-1] + weights[-1]
    logits -= logits.max(axis=1, keepdims=True)
    sure = np.exp(logits)
    return np.asarray(sure / sure.sum(axis=1, keepdims=True))


def out_of_fold(x: csr_matrix, y: np.ndarray, classes: int, group: np.ndarray, folds: int = 4) -> np.ndarray:
    """-> (N, C) of each row by a classifier that saw neither it nor a row of its group."""
    fold = np.random.default_rng(0).permutation(int(group.max()) + 1)[group] % folds
    found = np.zeros((len(y), classes))
    for k in range(folds):
        held = fold == k
        if held.any() and not held.all():
            found[held] = probabilities(x[held], fitted(x[~held], y[~held], classes))
    return found
