"""One step that gives little away about any one example: clipped gradients, and noise on their sum.

g = (sum_i min(1, C / |g_i|) g_i + s C z) / B      z ~ N(0, 1) for every number that trains

g_i: the gradient of the mean loss of example i, over all that trains; C: the clip, s: the noise, B: how many examples
are expected, for how many were drawn must not show. Abadi et al., Deep learning with differential privacy (2016),
https://arxiv.org/abs/1607.00133. Each example passes alone, so that its gradient is exact for every method and every
network; what packing would save is the price.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from tunesmith.core.batch import Batch
from tunesmith.core.errors import UserError
from tunesmith.core.keyed import Keyed
from tunesmith.core.protocols import Objective
from tunesmith.train.optimizer import Optimizer
from tunesmith.train.step import NotFinite, Stepper, named, out_of_memory
from tunesmith.train.world import World


@dataclass(frozen=True, slots=True)
class Noise:
    """What hides an example."""

    clip: float  # the longest gradient of an example
    multiplier: float  # the deviation of the noise, in clips
    expected: float  # examples of a step
    keyed: Keyed

    def add(self, total: dict[str, Tensor], step: int) -> None:
        """Put the noise of `step` on a sum of gradients."""
        draw = self.keyed.generator("noise", step)
        for values in total.values():
            drawn = torch.from_numpy(draw.standard_normal(values.numel(), dtype="float32")).view(values.shape)
            values.add_(drawn.to(values.device), alpha=self.multiplier * self.clip)


@dataclass(slots=True)
class PrivateStepper(Stepper):
    """Updates a model by noisy sums. Each pass holds one example; a step may have none."""

    noise: Noise | None = None
    taken: int = 0  # steps

    def resume(self, limit: int | None, step: int) -> None:
        self.limit, self.taken = limit, step

    def step(self, passes: Sequence[Batch], rate: float) -> dict[str, float]:
        """Update the model once. -> the mean loss, the norm of what the optimizer gets, and how many were clipped."""
        assert self.noise is not None
        total, sums, norms = self.optimizer.zeros(), [], []
        try:
            for batch in passes:
                sums.append(self._pass(batch))
                norms.append(self._take(total, batch))
            self.noise.add(total, self.taken)
            self.optimizer.give({name: values.div_(self.noise.expected) for name, values in total.items()})
            norm = float(get_total_norm(list(total.values())))
            self.optimizer.step(rate)
        finally:
            self.optimizer.clear()
        self.taken += 1
        clipped = {"clipped": sum(n > self.noise.clip for n in norms) / len(norms)} if norms else {}
        return (self._means(sums, passes) if passes else {}) | {"grad_norm": norm} | clipped

    def _pass(self, batch: Batch) -> dict[str, Tensor]:
        """Leave the gradient of one example with the optimizer. -> its sums."""
        assert len(batch.rows) == 1, "an example passes alone"
        self.optimizer.clear()
        try:
            loss = self.objective(self.model, batch.to(self.world.device))
            if not math.isfinite(float(loss.total.detach())):
                raise NotFinite(f"the loss is {float(loss.total.detach())} in {named([batch])}")
            (loss.total / batch.units).backward()
        except (RuntimeError, MemoryError) as error:
            if isinstance(error, NotFinite) or not out_of_memory(error):
                raise
            raise UserError(
                f"{named([batch])}: does not fit the memory, even alone; shorten or drop the row, or use a smaller base"
            ) from error
        self.optimizer.collect()
        return {"loss": loss.total.detach(), **loss.metrics}

    def _take(self, total: dict[str, Tensor], batch: Batch) -> float:
        """Add the gradient that is with the optimizer, clipped. -> its length before."""
        assert self.noise is not None
        gradients = self.optimizer.gradients()
        norm = float(get_total_norm(list(gradients.values())))
        if not math.isfinite(norm):
            raise NotFinite(f"the gradient has the norm {norm} in {named([batch])}")
        shorter = min(1.0, self.noise.clip / norm) if norm > 0 else 1.0
        for name, gradient in gradients.items():
            total[name].add_(gradient, alpha=shorter)
        return norm


def stepper_of(
    model: nn.Module, objective: Objective, optimizer: Optimizer, world: World, clip: float | None, noise: Noise | None
) -> Stepper:
    """-> what updates a model: with `noise` by clipped and noisy gradients of single examples."""
    if noise is None:
        return Stepper(model, objective, optimizer, world, clip=clip)
    return PrivateStepper(model, objective, optimizer, world, noise=noise)
