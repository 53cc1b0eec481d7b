"""`train.learning_rate: auto`: a few rates around the method's own, each for a few steps from the same start."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tunesmith.core.order import steps_per_epoch
from tunesmith.models.language import Packed
from tunesmith.opening import Opened, own_rate
from tunesmith.probing.choice import Key, Trial, best
from tunesmith.probing.trial import FEW, MANY, Probe
from tunesmith.show import Show

KEY = Key("train.learning_rate", "rate", "rate")
FACTORS = (0.1, 0.3, 1.0, 3.0, 10.0)  # of the method's own rate
LARGEST = 10.0


@dataclass(frozen=True, slots=True)
class Size:
    """How much is tried."""

    rates: tuple[float, ...]
    steps: int  # for each rate

    @classmethod
    def of(cls, opened: Opened) -> "Size":
        return cls(rates_around(own_rate(opened.recipe)["value"]), steps_of_trial(opened))

    def within(self, seconds: float, step: float, validation: float) -> "Size":
        """What of this fits into `seconds`, when a step and a validation take so long: fewer steps, then fewer rates.

        No rates at all when even that is too much.
        """
        for size in (self, self.fewer(3)):
            steps = int((seconds / len(size.rates) - validation) / step)
            if steps >= min(FEW, self.steps):
                return replace(size, steps=min(steps, self.steps))
        return Size((), 0)

    def fewer(self, count: int) -> "Size":
        """The `count` rates in the middle."""
        first = (len(self.rates) - count) // 2
        return replace(self, rates=self.rates[first : first + count])

    @property
    def all_steps(self) -> int:
        return len(self.rates) * self.steps


def steps_of_trial(opened: Opened) -> int:
    """-> a fifth of the run, within bounds."""
    config = opened.recipe.train
    steps = config.steps(steps_per_epoch(len(opened.prepared.train), config.batch_size))
    return min(steps, MANY, max(FEW, steps // 5))


def rates_around(rate: float, factors: Sequence[float] = FACTORS) -> tuple[float, ...]:
    """-> rates with two digits, smallest first."""
    return tuple(float(f"{rate * f:.2g}") for f in factors if rate * f <= LARGEST)


def try_rates(probe: Probe, size: Size, hear: Callable[[int], None]) -> dict[str, Any]:
    """-> the choice as `choices.json` keeps it, with what was tried; `hear` is told how many steps are done."""
    start = probe.validation_loss()
    trials = []
    for rate in size.rates:
        trials.append(Trial(rate, probe.loss(rate, size.steps)))
        hear(len(trials) * size.steps)
    value, why = best(trials, start, own_rate(probe.opened.recipe)["value"], KEY)
    about = f"{why}; {len(trials)} rates tried for {size.steps} steps each ({size.all_steps} steps in all)"
    return {
        "value": value,
        "reason": f"{about}, judged on {len(probe.held_out)} validation rows",
        "tried": KEY.tried(trials, start),
    }


def chosen_rate(opened: Opened, model: Packed, show: Show) -> dict[str, Any]:
    size = Size.of(opened)
    with show.watch("trying learning rates", size.all_steps, "steps") as seen:
        return try_rates(Probe(opened, model, show), size, lambda _: seen.read(size.steps))
