"""Charts are well-formed, and a curve reaches from edge to edge of its plane."""

from xml.etree import ElementTree

import pytest

from benchmarks import lines

SVG = "{http://www.w3.org/2000/svg}"


def curves(text: str) -> list[list[tuple[float, float]]]:
    found = ElementTree.fromstring(text).iter(f"{SVG}polyline")
    return [
        [(float(x), float(y)) for x, y in (pair.split(",") for pair in one.get("points", "").split())] for one in found
    ]


def test_the_largest_is_above_and_the_last_is_right() -> None:
    drawn = lines.page([lines.panel("a < b", "step", {"one": [[(0, 1), (5, 3)]], "two": [[(10, 2)]]})], "a & b")
    first, second = curves(drawn)
    assert first == [
        (lines.LEFT, lines.HEIGHT - lines.BOTTOM),
        ((lines.LEFT + lines.WIDTH - lines.RIGHT) / 2, lines.TOP),
    ]
    assert second == [(lines.WIDTH - lines.RIGHT, (lines.HEIGHT - lines.BOTTOM + lines.TOP) / 2)]


def test_a_level_line_is_drawn_in_the_middle() -> None:
    [curve] = curves(lines.page([lines.panel("level", "step", {"one": [[(0, 2), (1, 2)]]})], "level"))
    assert [y for _, y in curve] == pytest.approx([(lines.HEIGHT - lines.BOTTOM + lines.TOP) / 2] * 2)
