"""How sure a classifier is against how often it is right; held to formulas written out and to scipy."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from tunesmith.evaluate import calibration, values
from tunesmith.evaluate.before_after import Outcome, compare, recalibrated
from tunesmith.evaluate.labels import numbered


def _drawn(count: int = 600, heat: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """-> probabilities that are too sure by the factor `heat`, and labels drawn from the true ones."""
    draw = np.random.default_rng(0)
    scores = draw.normal(size=(count, 3))
    true = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    gold = np.array([draw.choice(3, p=p) for p in true])
    said = np.exp(heat * scores)
    return said / said.sum(-1, keepdims=True), gold


def test_the_error_is_the_mean_gap_of_bins_of_equal_mass() -> None:
    said, gold = _drawn()
    rows = calibration.sureness(said, gold)
    ordered = sorted(map(tuple, rows), key=lambda row: row[0])
    bins = [ordered[40 * i : 40 * i + 40] for i in range(15)]
    gaps = [abs(np.mean([right for _, right in b]) - np.mean([sure for sure, _ in b])) for b in bins]
    assert calibration.ece(rows[None])[0] == pytest.approx(np.mean(gaps))
    told = calibration.reliability(rows)
    assert [one["items"] for one in told] == [40] * 15
    assert np.mean([abs(one["accuracy"] - one["confidence"]) for one in told]) == pytest.approx(np.mean(gaps))


def test_resampled_corpora_are_measured_side_by_side() -> None:
    rows = calibration.sureness(*_drawn())
    several = np.stack([rows, rows[::-1], rows[:300].repeat(2, 0)])
    alone = [calibration.ece(one[None])[0] for one in several]
    assert calibration.ece(several) == pytest.approx(alone)


def test_who_is_honest_has_a_small_error_and_who_is_too_sure_a_large_one() -> None:
    honest, sure = (calibration.ece(calibration.sureness(*_drawn(heat=heat))[None])[0] for heat in (1.0, 4.0))
    assert honest < 0.1 < 0.2 < sure


def test_brier_and_likelihood_are_their_formulas() -> None:
    said, gold = _drawn(50)
    expected = [sum((p - (c == g)) ** 2 for c, p in enumerate(row)) for row, g in zip(said, gold, strict=True)]
    assert calibration.brier(said, gold) == pytest.approx(expected)
    assert calibration.nll(said, gold) == pytest.approx(
        -np.mean([np.log(r[g]) for r, g in zip(said, gold, strict=True)])
    )


@pytest.mark.parametrize("heat", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_what_made_it_too_sure(heat: float) -> None:
    said, gold = _drawn(heat=heat)
    found = calibration.fit_temperature(said, gold)
    assert found == pytest.approx(heat, rel=0.15)
    cooled = calibration.tempered(said, found)
    assert calibration.nll(cooled, gold) <= calibration.nll(said, gold) + 1e-9
    assert (cooled.argmax(-1) == said.argmax(-1)).all()


def test_values_are_held_to_scipy() -> None:
    draw = np.random.default_rng(1)
    true = draw.normal(size=40)
    rows = np.stack([true + draw.normal(size=40), true.round(1)], -1)
    assert values.spearman(rows[None])[0] == pytest.approx(spearmanr(rows).statistic)
    assert values.rmse(rows[None])[0] == pytest.approx(np.sqrt(np.mean((rows[:, 0] - rows[:, 1]) ** 2)))
    always = np.stack([np.full(40, rows[:, 1].mean()), rows[:, 1]], -1)
    assert values.r2(always[None])[0] == pytest.approx(0) and values.spearman(always[None])[0] == 0


def _outcomes(heat: float) -> list[Outcome]:
    names = ("a", "b", "c")
    found = []
    for row, (said, gold) in enumerate(zip(*_drawn(120, heat), strict=True)):
        label = names[int(said.argmax())]
        found.append(Outcome(row, -float(np.log(said[gold])), 1, label, names[gold], probabilities=tuple(said)))
    return found


def test_a_comparison_of_classifiers_tells_all_of_it() -> None:
    before, after = _outcomes(4.0), _outcomes(1.0)
    found = compare(before, after, ("a", "b", "c"), resamples=200)
    assert list(found.after) == ["loss", "accuracy", "macro_f1", "brier", "ece"]
    assert found.verdict["ece"] == found.verdict["brier"] == "better"
    told = recalibrated(found, before, before, ("a", "b", "c")).document()["calibration"]
    assert told["with_temperature"]["temperature"] > 2 and len(told["after"]) == 15
    assert numbered(["a", None], ("a", "b")).tolist() == [0, -1]


def test_a_comparison_of_values_has_the_mean_beside_it() -> None:
    before = [Outcome(n, 0.0, 0, value=(5.0, float(n))) for n in range(20)]
    after = [Outcome(n, 0.0, 0, value=(n + 0.5, float(n))) for n in range(20)]
    found = compare(before, after, resamples=200)
    assert list(found.after) == ["mae", "rmse", "r2", "spearman"]
    assert found.after["mae"] == pytest.approx(0.5) and found.after["spearman"] == pytest.approx(1)
    assert found.mean_baseline == {"mae": pytest.approx(5.0), "rmse": pytest.approx(np.std(np.arange(20)))}
