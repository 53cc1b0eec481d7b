"""Lines on a plane as an SVG file with its own colours, for pages that bring no style."""

from collections.abc import Mapping, Sequence
from html import escape

from tunesmith.report.svg import ticks

Points = Sequence[tuple[float, float]]
Ends = tuple[float, float]
COLOURS = ("#0b7285", "#c2410c", "#6d28d9", "#4d7c0f")
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 420.0, 260.0, 50.0, 14.0, 40.0, 40.0


def panel(title: str, below: str, lines: Mapping[str, Sequence[Points]], left: float = 0.0) -> str:
    """-> a group of SVG. `lines`: by the name of a colour, the curves that have it (one for each seed)."""
    points = [point for curves in lines.values() for curve in curves for point in curve]
    assert points, "a chart needs a point"
    across = _ends([x for x, _ in points])
    up = _ends([y for _, y in points])
    parts = [f'<text x="{LEFT}" y="16" font-weight="bold">{escape(title)}</text>']
    for value in ticks(*up, 6):
        y = _y(value, up)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    for value in ticks(*across, 7):
        place = f'x="{_x(value, across):.1f}" y="{HEIGHT - BOTTOM + 16}"'
        parts.append(f'<text {place} text-anchor="middle">{value:g}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle:.1f}" y="{HEIGHT - 6}" text-anchor="middle">{escape(below)}</text>')
    for number, (name, curves) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        parts.append(f'<text x="{LEFT + 110 * number:.1f}" y="32" fill="{colour}">{escape(name)}</text>')
        for curve in curves:
            path = " ".join(f"{_x(x, across):.1f},{_y(y, up):.1f}" for x, y in curve)
            parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
    return f'<g transform="translate({left:g} 0)">{"".join(parts)}</g>'


def page(panels: Sequence[str], words: str) -> str:
    """-> an SVG document of panels that were drawn at 0, 1, 2, ... times `WIDTH`."""
    size = f"{WIDTH * len(panels):g} {HEIGHT:g}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" role="img" aria-label="{escape(words)}" '
        f'font-family="sans-serif" font-size="11" fill="#333"><title>{escape(words)}</title>'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(panels)}</svg>\n'
    )


def _ends(values: Sequence[float]) -> Ends:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _x(value: float, ends: Ends) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (value - ends[0]) / (ends[1] - ends[0])


def _y(value: float, ends: Ends) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - ends[0]) / (ends[1] - ends[0])
