"""Labels that are likely wrong: confident learning (Northcutt, Jiang and Chuang 2021) over an out-of-fold classifier.

The threshold of a class is how sure the classifier is of it on average where it is the label. A row is suspected when
another class reaches its threshold, and none that does is likelier.
"""

import numpy as np

from tunesmith.doctor.case import Case
from tunesmith.doctor.classifier import features, out_of_fold
from tunesmith.doctor.finding import Finding, by_file

_ROWS, _EACH = 40, 8  # fewer teach a classifier nothing
_MOST = 40  # classes
_BETTER = 0.02  # by how much the classifier must beat always naming the most frequent label
_MARGIN = 0.4


def label_errors(case: Case) -> list[Finding]:
    names = [label for label, count in case.labels.items() if count >= _EACH]
    place = {label: n for n, label in enumerate(names)}
    kept = [n for n, entry in enumerate(case.whole) if entry.label in place]
    if len(kept) < _ROWS or not 2 <= len(names) <= _MOST:
        return []
    y = np.array([place[case.whole[n].label or ""] for n in kept])
    group = np.unique(np.array([case.near[n] for n in kept]), return_inverse=True)[1]
    sure = out_of_fold(features([case.words[n] for n in kept]), y, len(names), group)
    if (sure.argmax(axis=1) == y).mean() < np.bincount(y).max() / len(y) + _BETTER:
        return []  # words do not tell the labels: a classifier that knows nothing can suspect nobody
    other = suspected(sure, y)
    found = sorted(np.flatnonzero(other >= 0), key=lambda n: sure[n, y[n]] - sure[n, other[n]])
    likely = {id(case.whole[kept[n]].row): f"{names[y[n]]}; rather {names[other[n]]}" for n in found}
    rows = [(case.whole[kept[n]].row, case.whole[kept[n]].text) for n in found]
    message = "the label is unlikely by the words of all other rows, the least likely first"
    return by_file("label_error", rows, message, lambda row: likely[id(row)])


def suspected(sure: np.ndarray, y: np.ndarray) -> np.ndarray:
    """-> (N,) the class that a row rather has, -1 where its own label may stand."""
    classes = sure.shape[1]
    threshold = np.array([sure[y == k, k].mean() if (y == k).any() else 1.0 for k in range(classes)])
    reached = np.where(sure >= threshold, sure, 0.0)
    best = reached.argmax(axis=1)
    own = sure[np.arange(len(y)), y]
    wrong = (reached.max(axis=1) > 0) & (best != y) & (sure.max(axis=1) - own >= _MARGIN)
    return np.where(wrong, best, -1)
