"""Regression: one number for each text, near the one that is wanted, both in standard units of the training rows.

squared   (z - y)^2
huber     (z - y)^2 / 2 where |z - y| <= d, else d (|z - y| - d / 2)        Huber 1964, Ann. Math. Statist. 35

Shapes: N examples.
"""

from typing import ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field, model_validator

from tunesmith.core.loss import Loss
from tunesmith.core.protocols import Eats, Ending, LanguageModel
from tunesmith.core.targets import TargetBatch
from tunesmith.objectives.objective import ScoringConfig


class Regress(ScoringConfig):
    """Learn the number that belongs to each text, by a new head over the base."""

    eats: ClassVar[Eats] = "targets"
    ending: ClassVar[Ending] = "value"
    kind: Literal["regress"] = "regress"

    error: Literal["squared", "huber"] = "squared"
    """How an error counts. huber: large ones by their size, not its square, so that odd rows weigh less."""
    delta: float = Field(1.0, gt=0, allow_inf_nan=False)
    """Where huber changes over, in standard deviations of the training rows."""

    @model_validator(mode="after")
    def _acts(self) -> "Regress":
        if self.error == "squared" and self.delta != 1:
            raise ValueError("delta: only error=huber has it; set that, or remove it")
        return self

    @property
    def mixes(self) -> str | None:
        return "its values are in standard units of all training rows"

    def __call__(self, model: LanguageModel, batch: TargetBatch) -> Loss:
        found = model(batch.packed)[:, 0]  # (N,)
        if self.error == "huber":
            each = F.huber_loss(found, batch.targets, reduction="none", delta=self.delta)
        else:
            each = (found - batch.targets).square()
        return Loss((batch.weights * each).sum(), {"error": (found.detach() - batch.targets).abs().sum()})
