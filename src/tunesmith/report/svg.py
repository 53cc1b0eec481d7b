"""Charts drawn by hand as SVG: no library, no script; colours are the page's CSS variables, so dark pages work too."""

import math
from collections.abc import Sequence
from html import escape
from itertools import pairwise

import numpy as np

Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT = 840.0, 330.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 22.0, 30.0, 46.0
_MOST = 700  # points of a raw curve: more are not seen
_LABEL = 190.0  # room for the words at the best point


def loss_chart(
    train: Points, validation: Points, best: tuple[float, float] | None = None, unit: str = "nats per token"
) -> str:
    """Training loss by step, raw and smoothed, and the validation loss where it was measured.

    Points are (step, loss) in the order of the steps; at least one of both is needed.
    """
    assert train or validation, "a chart needs a point"
    plane = _Plane.around([*train, *validation], smooth(train))
    parts = [plane.axes("step", f"loss, {unit}")]
    if train:
        parts.append(_path("raw", plane, _thinned(train)))
        parts.append(_path("smooth", plane, _thinned(smooth(train))))
    if validation:
        parts.append(_path("held", plane, validation))
        parts += [_dot("held-dot", plane, point) for point in validation]
    if best is not None:
        parts.append(_best(plane, best, [*smooth(train), *validation]))
    return drawing(
        "loss", "Loss while training", _described(train, validation, best), "".join(parts), (_WIDTH, _HEIGHT)
    )


def measure_chart(name: str, train: Points, validation: Points) -> str:
    """One measure of the training by step, half as wide; its name stands above it. At least one point is needed."""
    assert train or validation, "a chart needs a point"
    size = (_WIDTH / 2, 0.62 * _HEIGHT)
    plane = _Plane.around([*train, *validation], smooth(train), size)
    parts = [plane.axes("step", escape(name))]
    if train:
        parts += [_path("raw", plane, _thinned(train)), _path("smooth", plane, _thinned(smooth(train)))]
    if validation:
        parts.append(_path("held", plane, validation))
        parts += [_dot("held-dot", plane, point) for point in validation]
    return drawing("measure", name, "", "".join(parts), size)


def smooth(points: Points) -> list[tuple[float, float]]:
    """Each point as the mean of its neighbours, an equal number on each side: a tenth of the curve in all."""
    values = np.array([value for _, value in points], float)
    reach = max(1, len(values) // 20)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    found = []
    for i, (step, _) in enumerate(points):
        near = min(reach, i, len(values) - 1 - i)
        found.append((step, float(sums[i + near + 1] - sums[i - near]) / (2 * near + 1)))
    return found


def interval_chart(before: float, after: float, may: tuple[float, float], ends: tuple[float, float], words: str) -> str:
    """Before (ring) to after (dot) on the line from ends[0] to ends[1], with where `after` may lie as a bar.

    `may` is before + the ends of the interval of the difference.
    """
    width, height, margin = 200.0, 22.0, 7.0
    first, last = ends

    def x(value: float) -> float:
        share = (value - first) / (last - first) if last > first else 0.5
        return margin + (width - 2 * margin) * min(1.0, max(0.0, share))

    middle = height / 2
    left, right = map(x, may)
    parts = (
        f'<line class="rail" x1="{margin}" x2="{width - margin}" y1="{middle}" y2="{middle}"/>'
        f'<rect class="may" x="{left:.1f}" y="{middle - 7}" width="{max(1.5, right - left):.1f}" height="14" rx="3"/>'
        f'<line class="way" x1="{x(before):.1f}" x2="{x(after):.1f}" y1="{middle}" y2="{middle}"/>'
        f'<circle class="was" cx="{x(before):.1f}" cy="{middle}" r="4.5"/>'
        f'<circle class="is" cx="{x(after):.1f}" cy="{middle}" r="5"/>'
    )
    return drawing("interval", words, "", parts, (width, height))


class _Plane:
    """From steps and losses to places on the paper."""

    def __init__(self, xs: tuple[float, float], ys: tuple[float, float], size: tuple[float, float]) -> None:
        self.xs, self.ys, (self.width, self.height) = xs, ys, size

    @classmethod
    def around(cls, points: Points, smoothed: Points, size: tuple[float, float] = (_WIDTH, _HEIGHT)) -> "_Plane":
        """All steps; of the losses all but rare spikes, which would press the rest flat."""
        steps = [step for step, _ in points]
        losses = np.array([loss for _, loss in points], float)
        calm = [loss for _, loss in smoothed] or [float(losses[0])]
        low = min(float(np.quantile(losses, 0.005)), *calm, *calm)
        high = max(float(np.quantile(losses, 0.995)), *calm, *calm)
        room = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
        bottom = max(0.0, low - room) if low >= 0 else low - room
        start, end = min(steps), max(steps)
        return cls(
            (min(start, 0.0) if start <= 1 else start, end if end > start else start + 1), (bottom, high + room), size
        )

    def x(self, step: float) -> float:
        return _LEFT + (step - self.xs[0]) / (self.xs[1] - self.xs[0]) * (self.width - _LEFT - _RIGHT)

    def y(self, loss: float) -> float:
        share = (loss - self.ys[0]) / (self.ys[1] - self.ys[0])
        return self.height - _BOTTOM - min(1.0, max(0.0, share)) * (self.height - _TOP - _BOTTOM)

    def axes(self, below: str, beside: str) -> str:
        floor = self.height - _BOTTOM
        parts = []
        for value in ticks(*self.ys, 5):
            y = self.y(value)
            parts.append(f'<line class="grid" x1="{_LEFT}" x2="{self.width - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text class="tick" x="{_LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
        for value in ticks(*self.xs, 8 if self.width == _WIDTH else 5, whole=True):
            x = self.x(value)
            parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{floor}" y2="{floor + 5}"/>')
            parts.append(f'<text class="tick" x="{x:.1f}" y="{floor + 20}" text-anchor="middle">{value:,.0f}</text>')
        parts.append(f'<line class="axis" x1="{_LEFT}" x2="{self.width - _RIGHT}" y1="{floor}" y2="{floor}"/>')
        parts.append(
            f'<text class="name" x="{self.width - _RIGHT}" y="{self.height - 6}" text-anchor="end">{below}</text>'
        )
        parts.append(f'<text class="name" x="0" y="13">{beside}</text>')
        return "".join(parts)


def ticks(low: float, high: float, most: int, whole: bool = False) -> list[float]:
    """-> round numbers between `low` and `high`, at most `most`."""
    span = high - low
    exponent = math.floor(math.log10(span / most))
    steps = [m * 10.0**e for e in (exponent, exponent + 1) for m in (1, 2, 2.5, 5)]
    step = next(s for s in [*steps, 10.0 ** (exponent + 2)] if span / s < most and (not whole or s % 1 == 0))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(place * step, 10) for place in range(first, last + 1)]


def _thinned(points: Points) -> Points:
    """The lowest and the highest of each stretch: a curve with fewer points that still shows its spikes."""
    if len(points) <= _MOST:
        return points
    edges = np.linspace(0, len(points), _MOST // 2 + 1).astype(int)
    kept: list[tuple[float, float]] = []
    for start, stop in pairwise(edges):
        stretch = points[start:stop]
        kept += sorted({min(stretch, key=lambda p: p[1]), max(stretch, key=lambda p: p[1])})
    return kept


def _path(kind: str, plane: _Plane, points: Points) -> str:
    places = " ".join(f"{plane.x(step):.1f},{plane.y(loss):.1f}" for step, loss in points)
    return f'<polyline class="{kind}" points="{places}"/>'


def _dot(kind: str, plane: _Plane, point: tuple[float, float]) -> str:
    title = f"<title>step {point[0]:,.0f}: {point[1]:.4g}</title>"
    return f'<circle class="{kind}" cx="{plane.x(point[0]):.1f}" cy="{plane.y(point[1]):.1f}" r="4">{title}</circle>'


def _best(plane: _Plane, best: tuple[float, float], around: Points) -> str:
    """A ring, and its words above whatever is drawn there."""
    x, y = plane.x(best[0]), plane.y(best[1])
    anchor = "end" if x > _WIDTH - _LABEL else "middle" if x > _LEFT + _LABEL / 2 else "start"
    reach = {"end": (-_LABEL, 0.0), "middle": (-_LABEL / 2, _LABEL / 2), "start": (0.0, _LABEL)}[anchor]
    crossed = [plane.y(loss) for step, loss in around if reach[0] <= plane.x(step) - x <= reach[1]]
    above = max(_TOP, min([y, *crossed]) - 18)
    words = f"best {best[1]:.4g} at step {best[0]:,.0f}: kept"
    return (
        f'<circle class="best" cx="{x:.1f}" cy="{y:.1f}" r="8.5"/>'
        f'<text class="best-name" x="{min(x + 8, _WIDTH - _RIGHT) if anchor == "end" else x:.1f}" y="{above:.1f}" '
        f'text-anchor="{anchor}">{words}</text>'
    )


def _described(train: Points, validation: Points, best: tuple[float, float] | None) -> str:
    said = []
    if train:
        smoothed = smooth(train)
        said.append(f"Training loss from {smoothed[0][1]:.4g} to {smoothed[-1][1]:.4g} in {train[-1][0]:,.0f} steps.")
    if validation:
        said.append(f"Validation loss from {validation[0][1]:.4g} to {validation[-1][1]:.4g}.")
    if best is not None:
        said.append(f"Lowest validation loss {best[1]:.4g} at step {best[0]:,.0f}.")
    return " ".join(said)


def drawing(kind: str, title: str, description: str, inner: str, size: tuple[float, float]) -> str:
    """-> the whole picture; `kind` is a class of the style sheet."""
    more = f"<desc>{escape(description)}</desc>" if description else ""
    return (
        f'<svg class="{kind}" viewBox="0 0 {size[0]:g} {size[1]:g}" role="img" aria-label="{escape(title)}" '
        f'xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title>{more}{inner}</svg>'
    )
