"""How much data labels are likely to need: the error of a plain classifier on more and more rows, and its trend.

error(n) = a + b n^-c (Hestness et al. 2017, "Deep Learning Scaling is Predictable, Empirically"), fitted to the points.
A tuned model stands higher; how the curve bends is what carries over.
"""

from typing import Any

import numpy as np
from scipy.optimize import curve_fit

from tunesmith.core.errors import UserError
from tunesmith.doctor.case import Case
from tunesmith.doctor.classifier import features, fitted, probabilities

_LEAST = 80
_HELD = 0.25
_SHARES = (0.0625, 0.125, 0.25, 0.5, 1.0)
_DRAWS = 3
_GAIN = 0.01  # below this gain from twice the rows, more of them are not what is missing


def learning_curve(case: Case) -> dict[str, Any]:
    """-> points {rows, accuracy}, what twice as many rows would likely give, and a sentence. UserError without any."""
    if len(case.labels) < 2 or len(case.whole) < _LEAST:
        raise UserError(
            f"--curve: is for at least {_LEAST} rows with labels; for other tasks "
            "`tunesmith compare --learning-curve` trains on parts of the rows"
        )
    x, y = features(case.words), _numbers(case)
    group = np.array(case.near)
    points = {share: [_accuracy(x, y, group, share, draw) for draw in range(_DRAWS)] for share in _SHARES}
    found = [
        {"rows": int(np.mean([n for n, _ in some])), "accuracy": round(float(np.mean([a for _, a in some])), 4)}
        for some in points.values()
    ]
    twice = _extrapolated(found)
    return {"points": found, "twice": twice, "said": _said(found, twice)}


def _numbers(case: Case) -> np.ndarray:
    place = {label: n for n, label in enumerate(case.labels)}
    return np.array([place[entry.label or ""] for entry in case.whole])


def _accuracy(x: Any, y: np.ndarray, group: np.ndarray, share: float, draw: int) -> tuple[int, float]:
    """-> rows trained on and accuracy on rows of other groups; the same held-out rows for each share of a draw."""
    order = np.random.default_rng(draw).permutation(int(group.max()) + 1)[group]
    cut = np.quantile(order, _HELD)
    held, rest = order <= cut, np.flatnonzero(order > cut)
    some = rest[np.argsort(order[rest], kind="stable")][: max(2, round(share * len(rest)))]
    weights = fitted(x[some], y[some], int(y.max()) + 1)
    return len(some), float((probabilities(x[held], weights).argmax(axis=1) == y[held]).mean())


def _extrapolated(points: list[dict[str, Any]]) -> float | None:
    """-> the accuracy on twice the rows, None where no such curve fits."""
    n = np.array([point["rows"] for point in points], dtype=float)
    error = 1 - np.array([point["accuracy"] for point in points])
    try:
        found, _ = curve_fit(
            lambda m, a, b, c: a + b * m**-c,
            n,
            error,
            p0=(error.min() / 2, 1.0, 0.5),
            bounds=([0, 0, 0.05], [1, 10, 2]),
        )
    except RuntimeError:
        return None
    a, b, c = found
    return round(float(1 - (a + b * (2 * n[-1]) ** -c)), 4)


def _said(points: list[dict[str, Any]], twice: float | None) -> str:
    last = points[-1]
    base = f"a plain classifier reaches {last['accuracy']:.1%} on {last['rows']} training rows"
    if twice is None:
        return f"{base}; the points follow no curve, so what more rows would give cannot be told"
    step = last["accuracy"] - points[-2]["accuracy"]
    gain = max(
        twice - last["accuracy"], step / 2
    )  # few points make a poor curve: what the last doubling gave counts too
    end = "more rows would still help" if gain >= _GAIN else "more rows of this kind would likely help little"
    return (
        f"{base} ({100 * step:+.1f} points by the last doubling), and by its curve {twice:.1%} on twice as many: {end}"
    )
