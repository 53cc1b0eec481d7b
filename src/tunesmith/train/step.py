"""One optimizer step. Everything above this file arranges it; everything below is called by it.

Objectives return sums, batches count units: the gradient is the mean over every unit of the step, so it does not
depend on how the examples are cut into passes or spread over processes.
"""

import gc
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from tunesmith.core.batch import Batch
from tunesmith.core.errors import RunFailed, UserError
from tunesmith.core.protocols import Objective
from tunesmith.train import randomness
from tunesmith.train.optimizer import Optimizer
from tunesmith.train.size import cut, measure
from tunesmith.train.world import World


class NotFinite(RunFailed):
    """A loss or gradient is not a number. The weights are as they were before the step."""


@dataclass(slots=True)
class Stepper:
    """Updates a model, and remembers how much of a step fits the memory."""

    model: nn.Module
    objective: Objective[Any, Any]
    optimizer: Optimizer
    world: World
    clip: float | None = None  # the longest gradient
    limit: int | None = None  # tokens a pass, once a longer one did not fit

    def resume(self, limit: int | None, step: int) -> None:
        """Go on behind so many steps, with what they found of the memory."""
        self.limit = limit

    def step(self, passes: Sequence[Batch], rate: float) -> dict[str, float]:
        """Update the model once on all of `passes`. -> means over the units, and the gradient's norm before clipping.

        A pass that does not fit the memory is cut in half, and the whole step done again from nothing: its gradient
        is that of a step that was cut so from the start. Raises NotFinite before the weights change, and UserError
        when one example alone does not fit.
        """
        passes = cut(passes, self.limit)
        before = randomness.capture(self.world.device)
        self.optimizer.clear()
        try:
            while isinstance(outcome := self._accumulate(passes), int):
                self._shrink(passes[outcome])
                self.optimizer.clear()
                randomness.restore(before, self.world.device)
                passes = cut(passes, self.limit)
            metrics = self._finite(outcome, passes)
            self.optimizer.step(rate)
        finally:
            self.optimizer.clear()
        return metrics

    def _accumulate(self, passes: Sequence[Batch]) -> list[dict[str, Tensor]] | int:
        """-> the sums of each pass, or the place of the pass that did not fit."""
        units = self.world.count(sum(batch.units for batch in passes))
        if units == 0:
            raise NotFinite(f"nothing to learn from: no trained token in {named(passes)}")
        sums = []
        for i, batch in enumerate(passes):
            last = i == len(passes) - 1
            try:
                with self.world.gradient_sync(self.model, enabled=last):
                    loss = self.objective(self.model, batch.to(self.world.device))
                    (loss.total * self.world.size / units).backward()
            except (RuntimeError, MemoryError) as error:
                if self.world.size > 1 or not out_of_memory(error):
                    raise  # the other processes wait for this one: they cannot redo the step
                return i
            if last or self.world.size == 1:
                self.optimizer.collect()
            sums.append({"loss": loss.total.detach(), **loss.metrics})
        return sums

    def _shrink(self, batch: Batch) -> None:
        halves, size = batch.halves(), measure(batch)
        if halves is None:
            raise UserError(
                f"{named([batch])}: {size.tokens} tokens do not fit the memory, even alone; "
                "shorten or drop the row, or take a smaller base"
            )
        self.limit = max(measure(half).tokens for half in halves)
        gc.collect()
        if self.world.device.type == "cuda":
            torch.cuda.empty_cache()

    def _finite(self, sums: Sequence[dict[str, Tensor]], passes: Sequence[Batch]) -> dict[str, float]:
        for values, batch in zip(sums, passes, strict=True):
            if not math.isfinite(loss := float(values["loss"])):
                raise NotFinite(f"the loss is {loss} in {named([batch])}")
        gradients = self.optimizer.gradients()
        norm = get_total_norm(list(gradients.values()))
        if not math.isfinite(float(norm)):
            broken = [name for name, g in gradients.items() if not bool(g.isfinite().all())]
            where = f" of {broken[0]}" if broken else ""
            raise NotFinite(f"the gradient{where} has the norm {float(norm)} in {named(passes)}")
        if self.clip is not None:
            clip_grads_with_norm_(self.optimizer.trained(), self.clip, norm)
        return self._means(sums, passes) | {"grad_norm": float(norm)}

    def _means(self, sums: Sequence[dict[str, Tensor]], passes: Sequence[Batch]) -> dict[str, float]:
        totals: dict[str, float] = {}
        for values in sums:
            for name, value in values.items():
                totals[name] = totals.get(name, 0.0) + float(value)
        units = self.world.count(sum(batch.units for batch in passes))
        added = self.world.sum(torch.tensor(list(totals.values()), dtype=torch.float64, device=self.world.device))
        return {name: value / units for name, value in zip(totals, added.tolist(), strict=True)}


def out_of_memory(error: BaseException) -> bool:
    """-> whether torch or Python could not get memory, on any device."""
    known = ("can't allocate memory", "out of memory")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(k in str(error) for k in known)


def named(passes: Sequence[Batch], shown: int = 16) -> str:
    """-> the rows of some passes, to be told."""
    rows = [row for batch in passes for row in batch.rows]
    more = f" and {len(rows) - shown} more" if len(rows) > shown else ""
    return f"row{'s' if len(rows) > 1 else ''} {', '.join(map(str, rows[:shown]))}{more}"
