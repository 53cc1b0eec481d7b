"""How much fits into a time: the same for every method, and what is left out is said."""

from dataclasses import replace

import pytest

from tunesmith.compare.budget import CURVE, ENOUGH, ROOM, VALIDATIONS, Cost, Schedule, fitted
from tunesmith.core.errors import UserError

QUICK = Cost(opening=5.0, step=1.0, validation=2.0, scoring=20.0, trainable=1_000_000)
SLOW = Cost(opening=5.0, step=3.0, validation=4.0, scoring=20.0, trainable=100_000_000)
BOTH = {"lora": QUICK, "full": SLOW}


def test_what_fits_is_left_as_it_is() -> None:
    wanted = Schedule(3, 50, True)
    assert fitted(wanted, BOTH, 10_000, 10_000) == wanted


@pytest.mark.parametrize("left", [650, 900, 1200, 1800])
def test_what_is_kept_takes_no_longer_than_there_is(left: float) -> None:
    kept = fitted(Schedule(3, 1000, False), BOTH, left, left)
    assert kept.seconds(BOTH) <= ROOM * left
    longer = replace(kept, steps=kept.steps + 1)
    assert longer.seconds(BOTH) > ROOM * left, "no time is wasted"


def test_steps_go_first_then_seeds_and_both_are_said() -> None:
    kept = fitted(Schedule(3, 1000, False), BOTH, 1800, 1800)
    assert kept.seeds == 3 and ENOUGH <= kept.steps < 1000
    assert kept.said == (f"to fit 30 min 0 s: {kept.steps} of 1,000 steps a run; the same for every method",)
    shorter = fitted(Schedule(3, 1000, False), BOTH, 500, 500)
    assert shorter.seeds < 3 and f"{shorter.seeds} of 3 seeds" in shorter.said[0]


def test_the_curve_goes_after_the_seeds() -> None:
    with_curve = fitted(Schedule(3, 100, True), BOTH, 1800, 1800)
    assert with_curve.curve
    without = fitted(Schedule(3, 100, True), BOTH, 350, 350)
    assert not without.curve and "no learning curve" in without.said[0]


def test_a_curve_is_as_many_runs_more() -> None:
    more = Schedule(1, 10, True).seconds({"lora": QUICK}) - Schedule(1, 10, False).seconds({"lora": QUICK})
    assert more == pytest.approx(len(CURVE) * QUICK.run(10, VALIDATIONS))


def test_at_the_least_a_few_steps() -> None:
    kept = fitted(Schedule(3, 1000, False), {"lora": QUICK}, 70, 100)
    assert kept.seeds == 1 and 1 <= kept.steps < ENOUGH


def test_too_little_is_refused_with_what_would_do() -> None:
    with pytest.raises(UserError, match=r"--budget: 60 s|--budget: 1 min 0 s") as found:
        fitted(Schedule(3, 1000, False), BOTH, 50, 60)
    assert "give at least" in str(found.value)
