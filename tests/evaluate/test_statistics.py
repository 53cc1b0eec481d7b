import math

import numpy as np
import pytest
from scipy.stats import binomtest

from tunesmith.evaluate.statistics import paired_difference, paired_statistic

FAST = 999


def ratio(rows: np.ndarray) -> np.ndarray:
    totals = rows.sum(1)
    return totals[:, 0] / totals[:, 1]


def test_no_difference_raises_the_alarm_once_in_twenty():
    generator = np.random.default_rng(1)
    alarms = 0
    for seed in range(1000):
        before, after = generator.normal(size=(2, 40))
        found = paired_difference(before, after, higher_is_better=True, resamples=FAST, seed=seed)
        alarms += found.verdict in ("better", "worse")
    assert 36 <= alarms <= 64


def test_no_difference_in_a_ratio_raises_the_alarm_once_in_twenty():
    generator = np.random.default_rng(2)
    alarms = 0
    for seed in range(1000):
        tokens = generator.integers(5, 50, size=40)
        before, after = (np.stack([tokens * generator.gamma(4, 0.5, size=40), tokens], 1) for _ in range(2))
        found = paired_statistic(ratio, before, after, higher_is_better=False, resamples=399, seed=seed)
        alarms += found.verdict in ("better", "worse")
    assert 36 <= alarms <= 64


def test_right_and_wrong_never_alarm_too_often():
    """The exact test of McNemar keeps its level from below: few changed items take few values."""
    generator = np.random.default_rng(3)
    alarms = 0
    for seed in range(1000):
        before, after = (generator.random((2, 100)) < 0.7).astype(float)
        found = paired_difference(before, after, higher_is_better=True, resamples=FAST, seed=seed)
        alarms += found.verdict in ("better", "worse")
    assert 15 <= alarms <= 64


def test_without_clusters_copies_of_an_item_would_raise_false_alarms():
    generator = np.random.default_rng(4)
    alarms = {"blind": 0, "told": 0}
    clusters = np.repeat(np.arange(30), 5).tolist()
    for seed in range(500):
        before, after = np.repeat(generator.normal(size=(2, 30)), 5, axis=1)
        for name, known in (("blind", None), ("told", clusters)):
            found = paired_difference(before, after, higher_is_better=True, clusters=known, resamples=FAST, seed=seed)
            alarms[name] += found.verdict in ("better", "worse")
    assert alarms["told"] <= 38
    assert alarms["blind"] >= 100


@pytest.mark.parametrize("draw", ["normal", "skewed"])
def test_the_interval_covers_the_truth_95_times_in_100(draw):
    generator = np.random.default_rng(5)
    covered = 0
    for seed in range(1000):
        gain = generator.normal(0.3, 1, size=40) if draw == "normal" else generator.gamma(9, 1 / 3, size=40) - 2.7
        found = paired_difference(np.zeros(40), gain, higher_is_better=True, resamples=FAST, seed=seed)
        covered += found.low <= 0.3 <= found.high
    assert 930 <= covered <= 970


def test_mcnemar_by_hand():
    # 10 items change, 9 of them for the better: p = 2 * (1 + 10) / 2**10
    before = [0] * 9 + [1] + [1] * 20
    after = [1] * 9 + [0] + [1] * 20
    found = paired_difference(before, after, higher_is_better=True)
    assert found.p == pytest.approx(22 / 1024)
    assert found.p == pytest.approx(binomtest(9, 10).pvalue)
    assert found.mean == pytest.approx(8 / 30)
    assert found.verdict == "better"
    assert 0 < found.low < found.mean < found.high


def test_all_sign_flips_of_few_items_by_hand():
    found = paired_difference([0.0] * 6, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], higher_is_better=False)
    assert found.p == 2 / 64
    assert found.verdict == "worse"


def test_the_direction_of_the_metric_decides_the_word():
    before, after = np.linspace(1, 2, 20), np.linspace(1, 2, 20) + 0.5 + 0.01 * np.arange(20)
    assert paired_difference(before, after, higher_is_better=True).verdict == "better"
    assert paired_difference(before, after, higher_is_better=False).verdict == "worse"
    assert paired_difference(after, before, higher_is_better=False).verdict == "better"


def test_what_could_have_been_seen_is_seen_four_times_in_five():
    generator = np.random.default_rng(6)
    unsure = paired_difference(np.zeros(60), generator.normal(0, 1, 60), higher_is_better=True)
    assert unsure.verdict == f"no detectable difference (could have seen {unsure.detectable:.2g})"
    assert unsure.detectable == pytest.approx(2.8 / math.sqrt(60), rel=0.25)
    seen = sum(
        paired_difference(
            np.zeros(60), generator.normal(2.8 / math.sqrt(60), 1, 60), higher_is_better=True, resamples=FAST
        ).verdict
        == "better"
        for _ in range(300)
    )
    assert 0.72 <= seen / 300 <= 0.88


def test_two_systems_that_agree_on_all_items():
    same = paired_difference([0, 1] * 50, [0, 1] * 50, higher_is_better=True)
    assert (same.mean, same.low, same.high, same.p) == (0, 0, 0, 1)
    assert same.verdict == "no detectable difference (could have seen 0.06)"


def test_few_items_never_get_a_verdict():
    found = paired_difference([0.0] * 5, [1.0] * 5, higher_is_better=True)
    assert found.verdict == "no detectable difference (too few items: 5, at least 6 are needed)"
    assert found.detectable is None
    empty = paired_difference([], [], higher_is_better=True)
    assert (empty.n, empty.p) == (0, 1)
    nothing = paired_statistic(ratio, np.zeros((0, 2)), np.zeros((0, 2)), higher_is_better=True)
    assert (nothing.n, nothing.p) == (0, 1)


def test_a_ratio_that_moved_is_found_and_the_seed_decides():
    generator = np.random.default_rng(7)
    tokens = generator.integers(5, 50, size=80)
    before = np.stack([tokens * generator.gamma(20, 0.15, size=80), tokens], 1)
    after = before * [[0.7, 1.0]]
    found = paired_statistic(ratio, before, after, higher_is_better=False, resamples=2000)
    assert found.verdict == "better"
    assert found.mean == pytest.approx(-0.3 * before[:, 0].sum() / tokens.sum())
    assert found.low < found.mean < found.high < 0
    assert found == paired_statistic(ratio, before, after, higher_is_better=False, resamples=2000)
    assert found != paired_statistic(ratio, before, after, higher_is_better=False, resamples=2000, seed=1)


def test_many_items_stay_within_bounded_memory():
    import tracemalloc

    generator = np.random.default_rng(8)
    before, after = generator.normal(size=(2, 100_000))
    tracemalloc.start()
    paired_difference(before, after, higher_is_better=True, resamples=200)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200 * 1024**2
