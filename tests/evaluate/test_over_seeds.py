"""Intervals over items and seeds: how often they hold the truth, and how often they raise a false alarm."""

import numpy as np
import pytest

from tunesmith.evaluate.metrics import METRICS
from tunesmith.evaluate.over_seeds import difference, level

RIGHT, PERPLEXITY = METRICS["accuracy"].measure, METRICS["perplexity"].measure


def crossed(generator: np.random.Generator, seeds: int, items: int, spread: tuple[float, float, float]) -> np.ndarray:
    """(K, N, 1): the luck of the seed, of the item and of both together, around 0."""
    of_seed, of_item, of_both = (
        scale * generator.normal(size=shape)
        for scale, shape in zip(spread, ((seeds, 1), (1, items), (seeds, items)), strict=True)
    )
    return (of_seed + of_item + of_both)[..., None]


@pytest.mark.parametrize(
    ("seeds", "spread", "least", "most"),
    [
        (1, (0.0, 1.0, 0.0), 0.91, 0.985),
        (3, (0.0, 1.0, 0.5), 0.925, 0.995),
        (3, (0.3, 1.0, 0.5), 0.925, 0.995),
        (3, (1.0, 1.0, 0.5), 0.925, 0.99),
        (5, (0.3, 1.0, 1.0), 0.925, 0.995),
    ],
)
def test_the_interval_holds_the_truth(
    seeds: int, spread: tuple[float, float, float], least: float, most: float
) -> None:
    generator = np.random.default_rng(7)
    held = 0
    for _ in range(400):
        found = level(RIGHT, crossed(generator, seeds, 40, spread))
        held += found.low <= 0 <= found.high
    assert least <= held / 400 <= most


def test_items_alone_would_miss_the_luck_of_the_seed() -> None:
    generator = np.random.default_rng(8)
    found = [crossed(generator, 3, 40, (1.0, 1.0, 0.5)) for _ in range(200)]
    blind = [level(RIGHT, rows.mean(0, keepdims=True)) for rows in found]
    assert sum(one.low <= 0 <= one.high for one in blind) / 200 < 0.6


@pytest.mark.parametrize("seeds", [1, 3])
def test_equal_methods_raise_few_alarms(seeds: int) -> None:
    generator = np.random.default_rng(9)
    alarms = 0
    for _ in range(300):
        hard = generator.random((1, 80, 1))
        one, other = ((generator.random((seeds, 80, 1)) > hard).astype(float) for _ in range(2))
        alarms += difference(RIGHT, one, other, higher_is_better=True).verdict in ("better", "worse")
    assert alarms / 300 < 0.07


def test_a_true_difference_is_seen_and_has_its_direction() -> None:
    generator = np.random.default_rng(10)
    hard = generator.random((1, 200, 1))
    base = (generator.random((1, 200, 1)) > hard).astype(float)
    tuned = (generator.random((3, 200, 1)) + 0.35 > hard).astype(float)
    found = difference(RIGHT, base, tuned, higher_is_better=True)
    assert found.verdict == "better" and found.low < found.mean < found.high and found.p < 0.05
    assert found.mean == pytest.approx(tuned.mean() - base.mean())
    assert difference(RIGHT, base, tuned, higher_is_better=False).verdict == "worse"


def test_a_statistic_of_the_corpus() -> None:
    generator = np.random.default_rng(11)
    tokens = generator.integers(5, 30, size=60)
    base = np.stack([tokens * generator.gamma(20, 0.15, size=60), tokens], 1)[None]
    tuned = np.stack([np.stack([base[0, :, 0] * factor, tokens], 1) for factor in (0.5, 0.52, 0.48)])
    found = difference(PERPLEXITY, base, tuned, higher_is_better=False)
    assert found.verdict == "better"
    own = level(PERPLEXITY, tuned)
    assert own.low < own.mean < own.high and own.mean == pytest.approx(float(PERPLEXITY(tuned).mean()))


def test_a_share_stays_within_its_ends_and_is_never_certain() -> None:
    every = level(RIGHT, np.ones((3, 20, 1)), share=True)
    assert every.mean == every.high == 1 and 0.75 < every.low < 0.9
    none = level(RIGHT, np.zeros((1, 20, 1)), share=True)
    assert none.mean == none.low == 0 and 0.1 < none.high < 0.25


def test_few_items_say_nothing() -> None:
    found = difference(RIGHT, np.zeros((2, 4, 1)), np.ones((2, 4, 1)), higher_is_better=True)
    assert found.verdict.startswith("no detectable difference (too few items: 4")
