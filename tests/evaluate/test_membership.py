import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.evaluate.membership import above_chance, auc, epsilon_bound, most, tpr_at

SCORES = st.lists(st.integers(0, 5), min_size=1, max_size=15).map(lambda some: np.array(some, float))


@given(SCORES, SCORES)
def test_the_area_is_the_share_of_pairs_in_the_right_order(members, others):
    pairs = [(m > o) + 0.5 * (m == o) for m in members for o in others]
    assert auc(members, others) == pytest.approx(np.mean(pairs))


@given(SCORES, SCORES, st.sampled_from([0.0, 0.01, 0.25, 0.5]))
def test_no_more_than_the_allowed_share_of_others_is_taken_for_members(members, others, rate):
    found = tpr_at(rate, members, others)
    thresholds = [t for t in [*others, *members] if (others > t).mean() <= rate]
    assert found == pytest.approx(max((members > t).mean() for t in thresholds))


def test_an_attack_that_knows_nothing_is_not_above_chance():
    draw = np.random.default_rng(0)
    found = above_chance(auc, 0.5, draw.normal(size=60), draw.normal(size=60), resamples=400)
    assert found.low < 0 < found.high
    told = above_chance(auc, 0.5, draw.normal(1, 1, size=60), draw.normal(size=60), resamples=400)
    assert 0 < told.low < told.mean < told.high


def test_a_bound_of_epsilon_is_no_larger_than_what_so_few_rows_can_show():
    certain = epsilon_bound(np.arange(100, 300.0), np.arange(0, 100.0))
    assert 0 < certain <= most(200, 100) + 1e-9
    assert epsilon_bound(np.zeros(100), np.zeros(100)) == 0


def test_a_bound_of_epsilon_by_hand():
    """100 of 100 found, none of 100 wrong: (0.025**(1/100) - delta) / (1 - 0.025**(1/100))."""
    share = 0.025 ** (1 / 100)
    assert most(200, 200) == pytest.approx(math.log((share - 1e-5) / (1 - share)))


def test_randomised_response_never_shows_more_than_it_promises():
    draw = np.random.default_rng(1)
    tell = math.exp(1) / (1 + math.exp(1))
    over = 0
    for seed in range(40):
        members, others = (draw.random(300) < tell).astype(float), (draw.random(300) >= tell).astype(float)
        over += epsilon_bound(members, others, seed) > 1
    assert over <= 6
