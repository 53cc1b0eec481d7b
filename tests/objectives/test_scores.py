"""Objectives over heads are their formulas, written out."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tunesmith import Classify, Regress, Reward, UserError
from tunesmith.core.answers import PairBatch, tree
from tunesmith.core.batch import Example
from tunesmith.core.targets import Target, TargetBatch, pack_targets, scale_of
from tunesmith.recipe import Recipe

EXACT = 1e-6


def _targets(wanted: list[float], weights: list[float] | None = None) -> TargetBatch:
    pairs = zip(wanted, weights or [1.0] * len(wanted), strict=True)
    return pack_targets([Target([5, 6 + i], [False, False], i, target=y, weight=w) for i, (y, w) in enumerate(pairs)])


def _scores(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).double()


def _saying(scores: Tensor) -> Any:
    return lambda _: scores


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_classify_is_cross_entropy(smoothing: float) -> None:
    scores, wanted, weights = _scores(6, 4), [0, 3, 1, 1, 2, 0], [1.0, 2.0, 0.5, 0.5, 1.0, 1.0]
    logs = scores.log_softmax(-1)
    distribution = (1 - smoothing) * F.one_hot(torch.tensor(wanted), 4) + smoothing / 4
    expected = (torch.tensor(weights) * -(distribution * logs).sum(-1)).sum()
    found = Classify(label_smoothing=smoothing)(_saying(scores), _targets([float(y) for y in wanted], weights))
    assert float(found.total) == pytest.approx(float(expected), rel=EXACT)
    right = sum(int(row.argmax()) == y for row, y in zip(scores, wanted, strict=True))
    assert float(found.metrics["accuracy"]) == right


def test_regress_is_the_squared_or_the_huber_error() -> None:
    scores, wanted = 2 * _scores(5, 1), [0.1, -0.5, 3.0, 1.0, -2.0]
    errors = [abs(float(row[0]) - y) for row, y in zip(scores, wanted, strict=True)]
    squared = Regress()(_saying(scores), _targets(wanted))
    assert float(squared.total) == pytest.approx(sum(e**2 for e in errors), rel=EXACT)
    huber = Regress(error="huber", delta=0.7)(_saying(scores), _targets(wanted))
    expected = sum(e**2 / 2 if e <= 0.7 else 0.7 * (e - 0.35) for e in errors)
    assert float(huber.total) == pytest.approx(expected, rel=EXACT)
    with pytest.raises(UserError, match="only error=huber has it"):
        Recipe(data="x", objective={"kind": "regress", "delta": 2.0})


@pytest.mark.parametrize("center", [0.0, 0.01])
def test_reward_is_bradley_terry_with_margins_and_a_centre(center: float) -> None:
    answers = [Example([1, 2, 3 + k], [False, False, True], 0) for k in range(3)]
    batch = PairBatch.of([tree(answers, better=((2, 0), (2, 1), (0, 1)), margins=(0.5, 1.0, 0.0))], [(0.0,) * 3])
    scores = _scores(3, 1)
    a, b, c = scores[:, 0].tolist()
    pairs = [(c, a, 0.5), (c, b, 1.0), (a, b, 0.0)]
    expected = sum(
        -float(F.logsigmoid(torch.tensor(x - y - m, dtype=torch.float64))) + center * (x + y) ** 2 for x, y, m in pairs
    )
    found = Reward(center=center)(_saying(scores), batch)
    assert float(found.total) == pytest.approx(expected, rel=EXACT)
    assert float(found.metrics["accuracy"]) == sum(x > y for x, y, _ in pairs)


def test_halves_hold_the_same_targets() -> None:
    whole = _targets([1.0, 2.0, 3.0], [1.0, 0.5, 2.0])
    parts = whole.halves()
    assert parts is not None and parts[0].units + parts[1].units == whole.units == 3
    assert torch.equal(torch.cat([p.targets for p in parts]), whole.targets)
    assert torch.equal(torch.cat([p.weights for p in parts]), whole.weights)
    assert parts[0].rows + parts[1].rows == whole.rows == (0, 1, 2) and whole.size == 6
    assert parts[0].halves() is None or parts[0].units == 2
    scale = scale_of([Target([1], [False], 0, target=y) for y in (1.0, 3.0)])
    assert (scale.mean, scale.deviation) == (2.0, 1.0)
