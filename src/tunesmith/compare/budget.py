"""How many seeds and steps fit into a time, from what was measured: the same number of examples for every method."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tunesmith.core.errors import UserError
from tunesmith.report.numbers import count, duration

ENOUGH = 20  # steps: with fewer, seeds are left out first
CURVE = (0.1, 0.3)  # of the training rows, beside all of them
VALIDATIONS = 4  # in a run; one, at its end, where steps are cut: what is short does not overfit
ROOM = 0.9  # of the time is given out: estimates are estimates
WRITTEN = 2e8  # bytes of a checkpoint that are written, hashed and forced to the disk in a second
MOMENTS = 12  # bytes of a checkpoint for each number that trains: itself and two moments in float32
PROBING = 0.2  # of the time is for trying rates
SCORING = 0.2  # of the time is for the test part and the general text, of the base and of every run


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds that a method takes, as measured."""

    opening: float  # a process until the first step
    step: float
    validation: float
    scoring: float  # of the test part
    trainable: int

    def run(self, steps: int, validations: int) -> float:
        """-> with opening, the proof's second opening, validations, a checkpoint after each, and the test part."""
        saved = MOMENTS * self.trainable / WRITTEN
        return 2 * self.opening + steps * self.step + validations * (self.validation + saved) + self.scoring


@dataclass(frozen=True, slots=True)
class Schedule:
    """What will be run."""

    seeds: int
    steps: int
    curve: bool
    validations: int = VALIDATIONS
    said: tuple[str, ...] = ()  # what was left out, for a person

    def seconds(self, costs: Mapping[str, Cost]) -> float:
        """-> of everything that is to come: the runs, and the timing of what they made."""
        runs = self.seeds + (len(CURVE) if self.curve else 0)
        return sum(runs * cost.run(self.steps, self.validations) + timing(cost) for cost in costs.values())

    def round(self, costs: Mapping[str, Cost]) -> float:
        """-> of one seed of every method."""
        return sum(cost.run(self.steps, self.validations) for cost in costs.values())


def timing(cost: Cost) -> float:
    """-> seconds for the latency of a method: the base is opened twice, and some tokens are written."""
    return 3 * cost.opening


def fitted(wanted: Schedule, costs: Mapping[str, Cost], left: float, budget: float) -> Schedule:
    """-> as much of `wanted` as fits into `left` seconds of `budget`: fewer steps, then fewer seeds, then no curve.

    Raises UserError when not even a step of each method fits.
    """
    if wanted.seconds(costs) <= ROOM * left:
        return wanted
    rooms = [
        replace(wanted, seeds=seeds, curve=curve, validations=1)
        for curve in dict.fromkeys((wanted.curve, False))
        for seeds in range(wanted.seeds, 0, -1)
    ]
    for tried in rooms:
        steps = _steps(tried, costs, ROOM * left)
        if steps >= min(ENOUGH, wanted.steps) or (tried is rooms[-1] and steps >= 1):
            kept = replace(tried, steps=min(steps, wanted.steps))
            return replace(kept, said=_said(wanted, kept, budget))
    least = replace(rooms[-1], steps=min(ENOUGH, wanted.steps)).seconds(costs) / ROOM + budget - left
    raise UserError(
        f"--budget: {duration(budget)} is not enough for one short run of each method; "
        f"give at least {duration(least)}, or fewer --methods"
    )


def _steps(schedule: Schedule, costs: Mapping[str, Cost], left: float) -> int:
    fixed = replace(schedule, steps=0).seconds(costs)
    each = replace(schedule, steps=1).seconds(costs) - fixed
    return int((left - fixed) / each)


def _said(wanted: Schedule, kept: Schedule, budget: float) -> tuple[str, ...]:
    cut = []
    if kept.steps < wanted.steps:
        cut.append(f"{count(kept.steps)} of {count(wanted.steps)} steps a run")
    if kept.seeds < wanted.seeds:
        cut.append(f"{kept.seeds} of {wanted.seeds} seeds")
    if wanted.curve and not kept.curve:
        cut.append("no learning curve")
    return (f"to fit {duration(budget)}: {', '.join(cut)}; the same for every method",) if cut else ()
