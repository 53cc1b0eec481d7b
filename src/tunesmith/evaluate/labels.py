"""Scores of a classifier: accuracy, macro-F1 and the confusion table.

Shapes: R corpora at once, N items, C labels. Labels are numbers below C; -1 is an answer that is none of them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

NONE = -1


def numbered(labels: Sequence[str | None], names: Sequence[str]) -> np.ndarray:
    """-> (N,) the place of each label in `names`; NONE where it has none."""
    places = {name: place for place, name in enumerate(names)}
    return np.array([places.get(label, NONE) if label is not None else NONE for label in labels], dtype=np.int64)


def accuracy(gold: np.ndarray, predicted: np.ndarray) -> float:
    """The share of items that are right; 0 when there are none."""
    return float((gold == predicted).mean()) if len(gold) else 0.0


def confusion(gold: np.ndarray, predicted: np.ndarray, count: int) -> np.ndarray:
    """(..., N), (..., N) -> (..., C, C + 1): rows are the truth, columns what was said, the last one nothing known."""
    shape = gold.shape[:-1]
    corpora = int(np.prod(shape))
    cells = count * (count + 1)
    cell = gold * (count + 1) + np.where(predicted == NONE, count, predicted)
    offset = np.arange(corpora).reshape(*shape, 1) * cells
    return np.bincount((cell + offset).ravel(), minlength=corpora * cells).reshape(*shape, count, count + 1)


def macro_f1(gold: np.ndarray, predicted: np.ndarray, count: int) -> np.ndarray:
    """(..., N), (..., N) -> (...): the mean F1 over the labels that are true or said of at least one item.

    A label that occurs on neither side says nothing and is left out, as scikit-learn does.
    """
    table = confusion(gold, predicted, count)
    right = np.diagonal(table, axis1=-2, axis2=-1)  # (..., C)
    occurs = table.sum(-1) + table[..., :count].sum(-2)  # how often true, plus how often said
    f1 = 2 * right / np.maximum(occurs, 1)
    return f1.sum(-1) / np.maximum((occurs > 0).sum(-1), 1)


def majority(gold: np.ndarray) -> float:
    """The accuracy of always saying the most frequent label."""
    return float(np.bincount(gold).max() / len(gold)) if len(gold) else 0.0


def table(gold: np.ndarray, predicted: np.ndarray, count: int) -> list[list[int]]:
    """-> the confusion table for JSON. The column of unknown answers is there only when one was given."""
    counts: Any = confusion(gold, predicted, count)
    return (counts if counts[:, count].any() else counts[:, :count]).tolist()
