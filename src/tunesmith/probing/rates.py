"""A learning rate by trial: a few rates, each for a few steps from the same start, judged on validation rows.

A trial is a run in small: the run's own first steps, the recipe's schedule from its warm-up to its end, then the
validation loss. What trains is put back to its start after each one, so the base is loaded once and the run that
follows is, to the byte, the run with that rate in its recipe.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tunesmith.core.errors import RunFailed
from tunesmith.core.files import write_json
from tunesmith.core.order import steps_per_epoch
from tunesmith.models.language import Packed
from tunesmith.opening import CHOICES, Opened, own_rate
from tunesmith.show import Show
from tunesmith.stages import feed_of, rates
from tunesmith.streams.stream import steps as steps_of
from tunesmith.tasks.reference import referring
from tunesmith.tasks.task import validate
from tunesmith.train import randomness
from tunesmith.train.optimizer import Optimizer
from tunesmith.train.schedule import factor
from tunesmith.train.step import NotFinite, Stepper
from tunesmith.train.world import World

KEY = "train.learning_rate"
FACTORS = (0.1, 0.3, 1.0, 3.0, 10.0)  # of the method's own rate
FEW, MANY = 4, 12  # steps of a trial
ROWS = 32  # for validation
TIE = 0.02  # of the best gain: rates that are so near to it count as equal
LARGEST = 10.0


@dataclass(frozen=True, slots=True)
class Trial:
    rate: float
    loss: float | None  # None: it ended in not-a-number


@dataclass(frozen=True, slots=True)
class Size:
    """How much is tried."""

    rates: tuple[float, ...]
    steps: int  # for each rate

    @classmethod
    def of(cls, opened: Opened) -> "Size":
        config = opened.recipe.train
        steps = config.steps(steps_per_epoch(len(opened.prepared.train), config.batch_size))
        return cls(rates_around(own_rate(opened.recipe)["value"]), min(steps, MANY, max(FEW, steps // 5)))

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


def rates_around(rate: float, factors: Sequence[float] = FACTORS) -> tuple[float, ...]:
    """-> rates with two digits, smallest first."""
    return tuple(float(f"{rate * f:.2g}") for f in factors if rate * f <= LARGEST)


@dataclass
class RateProbe:
    """The start to which each trial returns, and how long steps and validations took."""

    opened: Opened
    model: Packed
    show: Show
    step_seconds: list[float] = field(default_factory=list)
    validation_seconds: list[float] = field(default_factory=list)
    _limit: int | None = None  # tokens a pass, once a longer one did not fit the memory

    def __post_init__(self) -> None:
        self.rows = self.opened.prepared.validation[:ROWS]
        self.parameters = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        self._start: dict[str, Tensor] = {name: p.detach().clone() for name, p in self.parameters.items()}
        config = self.opened.recipe.train
        self._feed = feed_of(self.opened, self.model, referring(self.opened, self.model, self.show))
        self._stream = steps_of(self._feed, self.opened.prepared.train, seed=config.seed, batch_size=config.batch_size)

    def trial(self, rate: float, steps: int) -> Trial:
        """Train `steps` steps with `rate` at the top of the schedule, validate, and go back to the start."""
        with randomness.untouched(self.opened.device):
            randomness.seed(self.opened.recipe.train.seed)
            try:
                self._train(rate, steps)
                loss = self.validation_loss()
            except NotFinite:
                loss = math.nan
            finally:
                self._reset()
        return Trial(rate, loss if math.isfinite(loss) else None)

    def validation_loss(self) -> float:
        """-> the objective on the validation rows, of the model as it is now."""
        begin = time.perf_counter()
        self.model.eval()
        passes = self._feed(self.rows, None)
        loss = validate(self.model, self.opened.recipe.objective, passes, self.opened.device)["loss"]
        self.validation_seconds.append(time.perf_counter() - begin)
        return loss

    def _train(self, rate: float, steps: int) -> None:
        config = self.opened.recipe.train
        times = rates(self.opened)
        optimizer = Optimizer(self.parameters, weight_decay=config.weight_decay, betas=config.betas, rates=times)
        world = World(self.opened.device)
        stepper = Stepper(
            self.model, self.opened.recipe.objective, optimizer, world, clip=config.clip, limit=self._limit
        )
        self.model.train()
        for step in range(steps):
            begin = time.perf_counter()
            stepper.step(self._stream(step), rate * factor(step, steps, kind=config.schedule, warmup=config.warmup))
            self.step_seconds.append(time.perf_counter() - begin)
        self._limit = stepper.limit

    def _reset(self) -> None:
        self.model.eval()
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(self._start[name])


def try_rates(probe: RateProbe, size: Size, hear: Callable[[int], None]) -> dict[str, Any]:
    """-> the choice as `choices.json` keeps it, with what was tried; `hear` is told how many steps are done."""
    start = probe.validation_loss()
    trials = []
    for rate in size.rates:
        trials.append(probe.trial(rate, size.steps))
        hear(len(trials) * size.steps)
    value, why = best(trials, start, own_rate(probe.opened.recipe)["value"])
    about = f"{why}; {len(trials)} rates tried for {size.steps} steps each ({size.all_steps} steps in all)"
    return {
        "value": value,
        "reason": f"{about}, judged on {len(probe.rows)} validation rows",
        "tried": [{"rate": 0.0, "loss": start}, *({"rate": t.rate, "loss": t.loss} for t in trials)],
    }


def best(trials: Sequence[Trial], start: float, own: float) -> tuple[float, str]:
    """-> the smallest rate of those that gained most, and why; `start`: the loss before, `own`: the method's rate.

    Raises RunFailed when every rate ended in not-a-number.
    """
    held = [(trial.rate, trial.loss) for trial in trials if trial.loss is not None]
    if not held:
        raise RunFailed(f"{KEY}: every rate that was tried ended in not-a-number; give a smaller number")
    lowest = min(loss for _, loss in held)
    if lowest >= start:
        return own, f"no rate lowered the validation loss of {start:.4g} in so few steps, so the method's own is taken"
    rate, loss = min((r, loss) for r, loss in held if loss <= lowest + TIE * (start - lowest))
    why = f"validation loss {start:.4g} to {loss:.4g}" + (
        f", as good as the best ({lowest:.4g}) and the smallest of the equals" if loss > lowest else ", the lowest"
    )
    if rate == trials[-1].rate:
        why += "; it is the largest that was tried, a larger one may be better"
    elif rate == trials[0].rate:
        why += "; it is the smallest that was tried, a smaller one may be better"
    return rate, why


def probed(opened: Opened, model: Packed, folder: Path, show: Show) -> Opened:
    """The same with a number for a rate of `auto`; the choice is kept in the run folder, and never made twice."""
    if opened.recipe.train.learning_rate != "auto":
        return opened
    size = Size.of(opened)
    with show.watch("trying learning rates", size.all_steps, "steps") as seen:
        choice = try_rates(RateProbe(opened, model, show), size, lambda _: seen.read(size.steps))
    choices = {**opened.choices, KEY: choice}
    write_json(folder / CHOICES, choices)
    for tried in choice["tried"]:
        show.say(f"learning rate {tried['rate']:g}: validation loss {_loss(tried['loss'])}")
    show.choices({KEY: choice})
    train = opened.recipe.train.model_copy(update={"learning_rate": choice["value"]})
    return replace(opened, recipe=opened.recipe.model_copy(update={"train": train}), choices=choices)


def _loss(loss: float | None) -> str:
    return "not a number" if loss is None else f"{loss:.4g}"
