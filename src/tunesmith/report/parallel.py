"""Parallel coordinates and shares as bars: what a search tried, each trial a line; colours are the page's variables."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from tunesmith.report.svg import drawing, ticks

_WIDTH, _HEIGHT = 840.0, 360.0
_SIDE, _TOP, _BOTTOM = 62.0, 44.0, 22.0
_LETTER = 6.6  # of a tick, in the units of the paper


@dataclass(frozen=True, slots=True)
class Upright:
    """An axis: its ends, or its choices, from the bottom up."""

    name: str
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    choices: tuple[str, ...] = ()
    turned: bool = False  # small is up

    def share(self, value: object) -> float:
        """-> how far up `value` is, from 0 to 1."""
        if self.choices:
            place = self.choices.index(str(value))
            return (place + 0.5) / len(self.choices)
        assert isinstance(value, int | float), "a range holds numbers"
        low, high, at = (
            (math.log(v) for v in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        )
        found = (at - low) / (high - low) if high > low else 0.5
        return 1 - found if self.turned else found

    def marks(self) -> list[tuple[float, str]]:
        """-> places on it, with what stands there."""
        if self.choices:
            return [(self.share(name), name) for name in self.choices]
        if not self.high > self.low:
            return [(0.5, f"{self.low:.3g}")]
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            values = [10.0**power for power in range(first, last + 1)]
            ends = [end for end in (self.low, self.high) if all(abs(math.log10(end / v)) > 0.25 for v in values)]
            return [(self.share(v), f"{v:.3g}") for v in [*values, *ends]]
        return [(self.share(v), f"{v:g}") for v in ticks(self.low, self.high, 5)]


@dataclass(frozen=True, slots=True)
class Line:
    """A trial: its value on each axis; None where it did not come so far."""

    name: str
    values: tuple[object, ...]
    kind: str = "tried"  # tried, good, best or lost


ORDER = ("lost", "tried", "good", "best")  # the later is drawn over the earlier


def parallel(axes: Sequence[Upright], lines: Sequence[Line]) -> str:
    """-> SVG: an upright line for each axis, and each trial across them."""
    assert len(axes) > 1, "lines need two axes"
    parts = []
    for line in sorted(lines, key=lambda one: ORDER.index(one.kind)):
        points = [
            f"{_x(place, len(axes)):.1f},{_y(axis.share(value)):.1f}"
            for place, (axis, value) in enumerate(zip(axes, line.values, strict=True))
            if value is not None
        ]
        title = f"<title>{escape(line.name)}</title>"
        parts.append(f'<polyline class="trial {line.kind}" points="{" ".join(points)}">{title}</polyline>')
    # Axes over lines: their numbers must stay readable.
    parts += [_axis(axis, _x(place, len(axes)), place == len(axes) - 1) for place, axis in enumerate(axes)]
    said = f"{len(lines)} trials across {', '.join(axis.name for axis in axes)}."
    return drawing("parallel", "Trials in parallel coordinates", said, "".join(parts), (_WIDTH, _HEIGHT))


def _x(place: int, count: int) -> float:
    return _SIDE + place * (_WIDTH - 2 * _SIDE) / (count - 1)


def _y(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _axis(axis: Upright, x: float, last: bool) -> str:
    parts = [f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>']
    for share, text in axis.marks():
        y = _y(share)
        parts.append(f'<line class="axis" x1="{x - 4:.1f}" x2="{x:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        at, anchor = (x + 8, "start") if last else (x - 8, "end")
        parts.append(f'<text class="tick" x="{at:.1f}" y="{y + 4:.1f}" text-anchor="{anchor}">{escape(text)}</text>')
    half = _LETTER * len(axis.name) / 2
    middle = min(max(x, half), _WIDTH - half)
    parts.append(f'<text class="name" x="{middle:.1f}" y="18" text-anchor="middle">{escape(axis.name)}</text>')
    return "".join(parts)


def bars(shares: Mapping[str, float]) -> str:
    """-> SVG: a bar for each name, as long as its share."""
    assert shares, "a chart needs a bar"
    step, left, width = 30.0, 220.0, 620.0
    height, most = step * len(shares) + 6, max(shares.values()) or 1.0
    parts = []
    for place, (name, value) in enumerate(shares.items()):
        y, long = place * step + 6, max(1.0, (width - left - 60) * value / most)
        parts.append(
            f'<text class="name" x="{left - 10}" y="{y + 14:.0f}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="bar" x="{left}" y="{y:.0f}" width="{long:.1f}" height="18" rx="3"/>'
            f'<text class="tick" x="{left + long + 8:.1f}" y="{y + 14:.0f}">{100 * value:.0f} %</text>'
        )
    said = "; ".join(f"{name} {100 * value:.0f} %" for name, value in shares.items())
    return drawing("bars", "What mattered", said, "".join(parts), (width, height))
