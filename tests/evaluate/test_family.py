import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.evaluate.family import Compared, holm, judged, needed, visible, words
from tunesmith.evaluate.statistics import Difference, paired_difference

P = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@given(P)
def test_holm_keeps_the_order_and_is_between_none_and_bonferroni(values):
    found = holm(values)
    for value, adjusted in zip(values, found, strict=True):
        assert value <= adjusted <= min(1.0, len(values) * value) + 1e-12
    order = sorted(range(len(values)), key=lambda i: values[i])
    assert [found[i] for i in order] == sorted(found)


def test_a_difference_that_stands_alone_is_lost_among_many():
    draw = np.random.default_rng(0)
    one = paired_difference(np.zeros(40), draw.normal(0.45, 1, 40), higher_is_better=True)
    assert 0.001 < one.p < 0.05
    alone = judged({"a": Compared(0, 0, one, "higher")})
    noise = paired_difference(np.zeros(40), draw.normal(0, 1, 40), higher_is_better=True)
    among = judged({"a": Compared(0, 0, one, "higher")} | {str(i): Compared(0, 0, noise, "higher") for i in range(50)})
    assert alone["a"]["verdict"] == "better"
    assert among["a"]["verdict"].startswith("no detectable difference (could have seen")
    assert among["a"]["p"] == pytest.approx(min(1, 51 * one.p))


def test_the_better_side_decides_the_word():
    found = Difference(1.0, 0.5, 1.5, 0.001, 50, "", 0.7, (0.6, 1.4))
    sides = [words(Compared(0, 1, found, better), 0.001) for better in ("higher", "lower", "neither")]
    assert sides == ["better", "worse", "changed"]


def test_equivalent_is_said_of_what_lies_within_the_margin_and_of_nothing_else():
    near = Difference(0.0, -0.03, 0.03, 0.9, 500, "", 0.04, (-0.025, 0.025))
    assert words(Compared(0.5, 0.5, near, "higher", margin=0.05), 0.9) == "equivalent within 0.05"
    assert words(Compared(0.5, 0.5, near, "higher", margin=0.02), 0.9).startswith("no detectable difference")
    assert words(Compared(0.5, 0.5, near, "higher"), 0.9).startswith("no detectable difference")


def test_right_and_wrong_without_a_change_are_equivalent_only_where_there_are_many():
    """Of 20 items of which none changed, 3 of the next 20 may."""
    few, many = (paired_difference([1.0] * n, [1.0] * n, higher_is_better=True) for n in (20, 200))
    assert words(Compared(1, 1, few, "higher", margin=0.05), 1.0).startswith("no detectable difference")
    assert words(Compared(1, 1, many, "higher", margin=0.05), 1.0) == "equivalent within 0.05"


def test_items_that_are_needed_are_those_of_the_literature():
    assert needed(0.05) == pytest.approx(314, abs=1)  # 80 % power, one item in ten changes
    assert needed(0.03) == pytest.approx(872, abs=1)
    assert visible(needed(0.05)) == pytest.approx(0.05, rel=0.01)
    assert visible(0) == 1.0
