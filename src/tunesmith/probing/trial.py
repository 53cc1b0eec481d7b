"""Steps that leave no trace: train a little, validate, and go back to the start.

A trial is a run in small: the run's own first steps, the recipe's schedule from its warm-up to its end, then the
validation loss. What trains is put back to its start after each one, so the base is loaded once and the run that
follows is, to the byte, the run with that value in its recipe.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tunesmith.core.batch import Example
from tunesmith.models.language import Packed
from tunesmith.opening import Opened
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

FEW, MANY = 4, 12  # steps of a trial
ROWS = 32  # for validation

Enough = Callable[[Sequence[float]], bool]


def never(losses: Sequence[float]) -> bool:
    return False


@dataclass
class Probe:
    """The start to which each trial returns, and how long steps and validations took."""

    opened: Opened
    model: Packed
    show: Show
    rows: Sequence[Example] | None = None  # to learn from: None for those of the run
    step_seconds: list[float] = field(default_factory=list)
    validation_seconds: list[float] = field(default_factory=list)
    _limit: int | None = None  # tokens a pass, once a longer one did not fit the memory

    def __post_init__(self) -> None:
        self.held_out = self.opened.prepared.validation[:ROWS]
        self.parameters = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        self._start: dict[str, Tensor] = {name: p.detach().clone() for name, p in self.parameters.items()}
        config = self.opened.recipe.train
        self._feed = feed_of(self.opened, self.model, referring(self.opened, self.model, self.show))
        rows = self.opened.prepared.train if self.rows is None else self.rows
        self._stream = steps_of(self._feed, rows, seed=config.seed, batch_size=config.batch_size)

    def loss(self, rate: float, steps: int) -> float | None:
        """-> the validation loss after `steps` steps with `rate` at the top of the schedule; None: not a number."""
        config = self.opened.recipe.train

        def rated(step: int) -> float:
            return rate * factor(step, steps, kind=config.schedule, warmup=config.warmup)

        return self.losses(rated, [steps])[0]

    def losses(self, rate: Callable[[int], float], marks: Sequence[int], enough: Enough = never) -> list[float | None]:
        """-> the validation loss after each of so many steps, until one is not a number or they are `enough`."""
        found: list[float] = []
        with randomness.untouched(self.opened.device):
            randomness.seed(self.opened.recipe.train.seed)
            try:
                stepper = self._stepper()
                for begin, end in zip((0, *marks), marks, strict=False):
                    self._train(stepper, rate, range(begin, end))
                    found.append(self.validation_loss())
                    if not math.isfinite(found[-1]):
                        return [*found[:-1], None]
                    if enough(found):
                        break
            except NotFinite:
                return [*found, None]
            finally:
                self._reset()
        return list(found)

    def validation_loss(self) -> float:
        """-> the objective on the validation rows, of the model as it is now."""
        begin = time.perf_counter()
        self.model.eval()
        passes = self._feed(self.held_out, None)
        loss = validate(self.model, self.opened.recipe.objective, passes, self.opened.device)["loss"]
        self.validation_seconds.append(time.perf_counter() - begin)
        return loss

    def _stepper(self) -> Stepper:
        config = self.opened.recipe.train
        times = rates(self.opened)
        optimizer = Optimizer(self.parameters, weight_decay=config.weight_decay, betas=config.betas, rates=times)
        world = World(self.opened.device)
        return Stepper(self.model, self.opened.recipe.objective, optimizer, world, clip=config.clip, limit=self._limit)

    def _train(self, stepper: Stepper, rate: Callable[[int], float], steps: range) -> None:
        self.model.train()
        for step in steps:
            begin = time.perf_counter()
            stepper.step(self._stream(step), rate(step))
            self.step_seconds.append(time.perf_counter() - begin)
        self._limit = stepper.limit

    def _reset(self) -> None:
        self.model.eval()
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(self._start[name])
