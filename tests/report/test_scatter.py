import xml.etree.ElementTree as Tree
from itertools import combinations

import pytest

from tunesmith.report.scatter import Axis, Point, scatter

SVG = "{http://www.w3.org/2000/svg}"
COST = Axis("seconds a step", lambda v: f"{v:g}", zero=True)
GAIN = Axis("accuracy", lambda v: f"{v:g}")
POINTS = [
    Point("full", 4.0, 0.75, (0.7, 0.8), best=True),
    Point("lora", 1.0, 0.74, (0.69, 0.79), best=True),
    Point("prefix", 1.2, 0.6, (0.5, 0.7)),
]


def drawn(*arguments: object, **more: object) -> Tree.Element:
    return Tree.fromstring(scatter(*arguments, **more))  # type: ignore[arg-type]


def dots(chart: Tree.Element) -> dict[str, tuple[float, float]]:
    found = {}
    for circle in chart.iter(f"{SVG}circle"):
        title = circle.find(f"{SVG}title")
        assert title is not None and title.text is not None
        found[title.text.partition(":")[0]] = (float(circle.get("cx", "")), float(circle.get("cy", "")))
    return found


def test_more_is_further_up_and_dearer_is_further_right():
    found = dots(drawn(POINTS, COST, GAIN))
    assert found["full"][1] < found["lora"][1] < found["prefix"][1]
    assert found["lora"][0] < found["prefix"][0] < found["full"][0]


def test_less_is_up_when_the_axis_is_turned():
    turned = Axis("perplexity", lambda v: f"{v:g}", turned=True)
    found = dots(drawn(POINTS, COST, turned))
    assert found["full"][1] > found["lora"][1] > found["prefix"][1]


def test_the_best_are_filled_joined_and_told():
    chart = drawn(POINTS, COST, GAIN, (0.5, "base"))
    kinds = [circle.get("class") for circle in chart.iter(f"{SVG}circle")]
    assert kinds == ["best-dot", "best-dot", "beaten-dot"]
    front = next(chart.iter(f"{SVG}polyline")).get("points", "").split()
    assert len(front) == 3, "a step between two"
    words = "".join(chart.itertext())
    assert "Best trade-offs: full, lora." in words and "base" in words


def test_everything_stays_on_the_paper_and_names_do_not_cover_each_other():
    crowd = [Point(f"method-{i}", 1 + 0.02 * i, 0.7 + 0.002 * i, (0.6, 0.8), (0.9, 1.3), best=i == 0) for i in range(6)]
    chart = drawn(crowd, COST, GAIN)
    _, _, width, height = map(float, chart.get("viewBox", "").split())
    assert all(0 <= x <= width and 0 <= y <= height for x, y in dots(chart).values())
    names = [e for e in chart.iter(f"{SVG}text") if e.get("class") in ("dot-name", "best-name")]
    assert len(names) == 6
    boxes = []
    for name in names:
        x, y, wide = float(name.get("x", "")), float(name.get("y", "")), 7.1 * len(name.text or "")
        left = x - wide if name.get("text-anchor") == "end" else x
        assert left >= 0 and left + wide <= width
        boxes.append((left, y - 11, left + wide, y))
    crossing = [
        1 for a, b in combinations(boxes, 2) if min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])
    ]
    assert not crossing


@pytest.mark.parametrize("point", [Point("one", 0.0, 0.0, (0.0, 0.0)), Point("<b>", 2.0, -1.0, (-2.0, 0.0))])
def test_a_single_point_is_drawn(point):
    assert len(dots(drawn([point], COST, GAIN))) == 1
