"""Points with intervals on a plane, the best trade-offs filled and joined; colours are the page's CSS variables."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from tunesmith.report.svg import ticks

_WIDTH, _HEIGHT = 500.0, 350.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 26.0, 34.0, 50.0
_LETTER, _LINE = 7.1, 15.0  # of a name, in the units of the paper
_DOT = 5.5

Box = tuple[float, float, float, float]  # left, top, right, bottom
Ends = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Point:
    """A method: where it is, where it may be, and whether it is a best trade-off."""

    name: str
    x: float
    y: float
    y_ends: Ends
    x_ends: Ends | None = None
    best: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """What stands beside it, how its numbers are written, and whether small is up (or right)."""

    name: str
    written: Callable[[float], str]
    turned: bool = False
    zero: bool = False  # it begins at zero


def scatter(points: Sequence[Point], below: Axis, beside: Axis, line: tuple[float, str] | None = None) -> str:
    """-> SVG. `line`: a level of the upright axis to compare with, and its name."""
    assert points, "a chart needs a point"
    plane = _Plane(points, below, beside, line)
    parts = [plane.axes(), plane.level(line) if line else "", plane.front(points)]
    parts += [plane.reach(point) for point in points]
    parts += [plane.dot(point) for point in points]
    parts += plane.names(points)
    title = f"{beside.name} against {below.name}"
    return (
        f'<svg class="trade" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" aria-label="{escape(title)}" '
        f'xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title>'
        f"<desc>{escape(_described(points, below, beside))}</desc>{''.join(parts)}</svg>"
    )


class _Plane:
    def __init__(self, points: Sequence[Point], below: Axis, beside: Axis, line: tuple[float, str] | None) -> None:
        self.below, self.beside = below, beside
        ys = [value for point in points for value in (point.y, *point.y_ends)] + ([line[0]] if line else [])
        xs = [value for point in points for value in (point.x, *(point.x_ends or ()))] + ([0.0] if below.zero else [])
        self.xs, self.ys = _room(min(xs), max(xs), below.zero), _room(min(ys), max(ys), False)

    def x(self, value: float) -> float:
        return _LEFT + (value - self.xs[0]) / (self.xs[1] - self.xs[0]) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        share = (value - self.ys[0]) / (self.ys[1] - self.ys[0])
        share = 1 - share if self.beside.turned else share
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

    def axes(self) -> str:
        floor, parts = _HEIGHT - _BOTTOM, []
        for value in ticks(*self.ys, 5):
            y = self.y(value)
            parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(_text("tick", _LEFT - 10, y + 4, self.beside.written(value), "end"))
        for value in ticks(*self.xs, 6):
            x = self.x(value)
            parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{floor}" y2="{floor + 5}"/>')
            parts.append(_text("tick", x, floor + 20, self.below.written(value), "middle"))
        parts.append(f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{floor}" y2="{floor}"/>')
        parts.append(_text("name", _WIDTH - _RIGHT, _HEIGHT - 8, self.below.name, "end"))
        parts.append(_text("name", 0, 14, self.beside.name, "start"))
        return "".join(parts)

    def level(self, line: tuple[float, str]) -> str:
        y = self.y(line[0])
        drawn = f'<line class="level" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        return drawn + _text("level-name", _WIDTH - _RIGHT, y - 6, line[1], "end")

    def front(self, points: Sequence[Point]) -> str:
        """The best trade-offs joined by steps: what lies behind the line is beaten."""
        best = sorted((self.x(p.x), self.y(p.y)) for p in points if p.best)
        places = []
        for i, (x, y) in enumerate(best):
            places += [(x, best[i - 1][1]), (x, y)] if i else [(x, y)]
        return f'<polyline class="front" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>'

    def reach(self, point: Point) -> str:
        x, y = self.x(point.x), self.y(point.y)
        low, high = (self.y(end) for end in point.y_ends)
        drawn = f'<line class="reach" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>'
        if point.x_ends is not None:
            left, right = (self.x(end) for end in point.x_ends)
            drawn += f'<line class="reach" x1="{left:.1f}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        return drawn

    def dot(self, point: Point) -> str:
        said = f"{point.name}: {self.beside.written(point.y)}, {self.below.written(point.x)}"
        kind = "best-dot" if point.best else "beaten-dot"
        return (
            f'<circle class="{kind}" cx="{self.x(point.x):.1f}" cy="{self.y(point.y):.1f}" r="{_DOT}">'
            f"<title>{escape(said)}</title></circle>"
        )

    def names(self, points: Sequence[Point]) -> list[str]:
        """Each name beside its dot, where it covers no dot and no other name if there is such a place."""
        taken = [_around(self.x(p.x), self.y(p.y)) for p in points]
        found = []
        for point in points:
            x, y = self.x(point.x), self.y(point.y)
            places = _places(x, y, _LETTER * len(point.name))
            box, anchor = min(places, key=lambda place: _covered(place[0], taken))
            taken.append(box)
            at = box[0] if anchor == "start" else box[2]
            found.append(_text("best-name" if point.best else "dot-name", at, box[3] - 4, point.name, anchor))
        return found


def _room(low: float, high: float, zero: bool) -> Ends:
    spare = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    return (low if zero and low == 0 else low - spare, high + spare)


def _around(x: float, y: float) -> Box:
    return (x - _DOT - 1, y - _DOT - 1, x + _DOT + 1, y + _DOT + 1)


def _places(x: float, y: float, width: float) -> list[tuple[Box, str]]:
    """Right, left, then further up and down; best first."""
    found: list[tuple[Box, str]] = []
    for lift in (0.0, -12.0, 12.0, -24.0, 24.0, -38.0, 38.0):
        top = y - _LINE / 2 + lift - 2
        found.append(((x + 10, top, x + 10 + width, top + _LINE), "start"))
        found.append(((x - 10 - width, top, x - 10, top + _LINE), "end"))
    return found


def _covered(box: Box, taken: Sequence[Box]) -> float:
    """-> how much of `box` lies over others or off the paper."""
    over = sum(_common(box, other) for other in taken)
    return over + 50 * (max(0.0, _LEFT - box[0]) + max(0.0, box[2] - _WIDTH) + max(0.0, _TOP - box[1]))


def _common(one: Box, other: Box) -> float:
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return wide * high if wide > 0 and high > 0 else 0.0


def _text(kind: str, x: float, y: float, text: str, anchor: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _described(points: Sequence[Point], below: Axis, beside: Axis) -> str:
    said = [f"{p.name}: {beside.written(p.y)} at {below.written(p.x)}" for p in points]
    best = ", ".join(p.name for p in points if p.best)
    return f"{'; '.join(said)}. Best trade-offs: {best}."
