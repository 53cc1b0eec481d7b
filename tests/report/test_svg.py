import re
import xml.etree.ElementTree as Tree
from itertools import pairwise

import pytest

from tunesmith.report.svg import interval_chart, loss_chart, smooth, ticks

SVG = "{http://www.w3.org/2000/svg}"


def drawn(text: str) -> Tree.Element:
    return Tree.fromstring(text)


def places(chart: Tree.Element, kind: str) -> list[tuple[float, float]]:
    line = next(e for e in chart.iter(f"{SVG}polyline") if e.get("class") == kind)
    return [tuple(map(float, pair.split(","))) for pair in line.get("points", "").split()]


def test_a_falling_loss_falls_on_paper():
    train = [(float(step), 3 - 0.01 * step) for step in range(1, 101)]
    chart = drawn(loss_chart(train, [(50.0, 2.6), (100.0, 2.2)], (100.0, 2.2)))
    raw = places(chart, "raw")
    assert len(raw) == 100
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(raw))
    assert "best 2.2 at step 100: kept" in "".join(chart.itertext())
    assert "Training loss from 2.99 to 2 in 100 steps." in "".join(chart.itertext())
    assert chart.find(f"{SVG}title") is not None
    assert chart.get("role") == "img"


def test_everything_stays_on_the_paper():
    train = [(float(step), 1.0 + 0.1 * (step % 3)) for step in range(1, 400)]
    train[200] = (201.0, 900.0)  # a spike must not press the rest flat
    chart = drawn(loss_chart(train, [(399.0, 1.1)], (399.0, 1.1)))
    _, _, width, height = map(float, chart.get("viewBox", "").split())
    for kind in ("raw", "smooth", "held"):
        assert all(0 <= x <= width and 0 <= y <= height for x, y in places(chart, kind))


def test_spikes_survive_the_thinning_and_long_runs_stay_small():
    train = [(float(step), 2.0) for step in range(100_000)]
    train[70_001] = (70_001.0, 0.5)
    text = loss_chart(train, [])
    assert len(text) < 60_000
    lowest = max(y for _, y in places(drawn(text), "raw"))
    assert lowest > max(y for _, y in places(drawn(text), "smooth"))


@pytest.mark.parametrize("train", [[(1.0, 2.0)], [(1.0, 0.0), (2.0, 0.0)], [(7.0, -3.0), (9.0, 1e30)]])
def test_odd_curves_are_drawn(train):
    assert places(drawn(loss_chart(train, [])), "raw")
    assert places(drawn(loss_chart([], train)), "held")


def test_smoothing_keeps_a_line_and_flattens_noise():
    line = [(float(step), 2.0 * step) for step in range(100)]
    assert [value for _, value in smooth(line)] == pytest.approx([value for _, value in line])
    noisy = smooth([(float(step), float(step % 2)) for step in range(100)])
    assert all(0.4 < value < 0.6 for _, value in noisy[5:-5])


@pytest.mark.parametrize(
    ("low", "high", "most"), [(0, 75, 8), (0.31, 2.4, 5), (1e-4, 3e-4, 5), (0, 1e6, 8), (-3, 5, 4)]
)
def test_ticks_are_round_and_few(low, high, most):
    found = ticks(low, high, most)
    assert 2 <= len(found) <= most + 1
    assert all(low <= value <= high for value in found)
    assert all(re.fullmatch(r"-?[\d.e+-]{1,7}", f"{value:g}") for value in found)


def test_steps_have_whole_ticks():
    assert ticks(0, 3, 8, whole=True) == [0, 1, 2, 3]


def test_an_interval_by_place():
    chart = drawn(interval_chart(0.25, 0.5, (0.4, 0.6), (0.0, 1.0), "Accuracy & more"))
    was, now = (float(c.get("cx", "")) for c in chart.iter(f"{SVG}circle"))
    bar = next(chart.iter(f"{SVG}rect"))
    left = float(bar.get("x", ""))
    assert now == pytest.approx(100)
    assert was == pytest.approx(7 + 186 / 4, abs=0.1)
    assert left == pytest.approx(7 + 186 * 0.4, abs=0.1)
    assert float(bar.get("width", "")) == pytest.approx(186 * 0.2, abs=0.1)
    assert chart.get("aria-label") == "Accuracy & more"
