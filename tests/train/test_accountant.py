import math

import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from tunesmith.core.errors import RunFailed, UserError
from tunesmith.train import accountant
from tunesmith.train.accountant import bound, epsilon, noise_for

pytest.importorskip("opacus", reason="needs the extra `privacy`")

REFERENCE = (
    (0.8, 0.03, 300, 2e-4, 4.3392),
    (1.0, 0.01, 1000, 1e-5, 1.8282),
    (2.0, 0.2, 50, 1e-4, 2.9557),
    (10.0, 0.02, 100, 1e-4, 0.0447),
)
"""noise, share, steps, delta, epsilon: by the distribution of the privacy loss as dp-accounting 0.6.0 counts it
(`python scripts/check_privacy.py`)."""


def by_hand(mu: float, delta: float) -> float:
    """Epsilon of the Gaussian mechanism, exactly (Balle and Wang 2018, https://arxiv.org/abs/1805.06530)."""

    def over(e: float) -> float:
        return float(norm.cdf(mu / 2 - e / mu) - math.exp(e) * norm.cdf(-mu / 2 - e / mu) - delta)

    return float(brentq(over, 0, 200))


@pytest.mark.parametrize(("noise", "steps"), [(8.0, 100), (3.0, 4)])
def test_where_every_row_is_in_every_step_it_is_the_closed_form(noise: float, steps: int) -> None:
    exact = by_hand(math.sqrt(steps) / noise, 1e-5)
    assert exact <= epsilon(noise, 1.0, steps, 1e-5) <= exact + 0.03
    assert exact < bound(noise, 1.0, steps, 1e-5) < 1.15 * exact


@pytest.mark.parametrize(("noise", "share", "steps", "delta", "known"), REFERENCE)
def test_it_counts_as_another_library_does(noise: float, share: float, steps: int, delta: float, known: float) -> None:
    assert epsilon(noise, share, steps, delta) == pytest.approx(known, rel=0.01, abs=0.01)
    assert known < bound(noise, share, steps, delta) < 1.6 * known + 0.1


def test_noise_is_found_that_keeps_the_promise_and_little_more() -> None:
    noise, given = noise_for(3.0, 0.05, 100, 1e-4)
    assert 0.97 * 3 <= given <= 3.0
    assert epsilon(noise, 0.05, 100, 1e-4) == given
    with pytest.raises(UserError, match="no noise gives"):
        noise_for(1e-5, 1.0, 10**9, 1e-9)


def test_more_noise_fewer_steps_and_rarer_rows_give_less_away() -> None:
    plain = bound(1.0, 0.05, 100, 1e-5)
    assert bound(2.0, 0.05, 100, 1e-5) < plain < bound(1.0, 0.05, 400, 1e-5)
    assert bound(1.0, 0.01, 100, 1e-5) < plain < bound(1.0, 0.05, 100, 1e-8)
    assert bound(0.0, 0.05, 100, 1e-5) == math.inf


def test_a_count_above_the_bound_is_no_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accountant, "_exact", lambda *plan: bound(*plan) + 1)
    with pytest.raises(RunFailed, match="disagree"):
        epsilon(2.0, 0.05, 10, 1e-5)
