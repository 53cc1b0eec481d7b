"""Kahneman-Tversky optimisation: answers that are wanted or not, without pairs.

wanted    w (1 - s(beta (g - z)))      g = log pi(y) - log ref(y)
unwanted  u (1 - s(beta (z - g)))      z = max(0, mean of g over answers that belong to other prompts)

Ethayarajh et al. 2024, https://arxiv.org/abs/2402.01306. z is no part of the gradient; the stream measures it with the
policy as it is, over the answers of the whole step, so that it does not depend on how a step is cut.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field

from tunesmith.core.answers import RatedBatch
from tunesmith.core.loss import Loss
from tunesmith.core.protocols import Eats, LanguageModel
from tunesmith.objectives.objective import ObjectiveConfig


class KTO(ObjectiveConfig):
    """Make wanted answers likelier and unwanted ones less likely, from ratings of single answers (KTO)."""

    eats: ClassVar[Eats] = "rated"
    refers: ClassVar[bool] = True
    rate: ClassVar[float] = 0.1
    kind: Literal["kto"] = "kto"

    beta: float = Field(0.1, gt=0)
    """How dear it is to leave the base."""
    wanted_weight: float = Field(1.0, gt=0)
    """What a wanted answer weighs; where they are few, more: weight times number should be alike on both sides."""
    unwanted_weight: float = Field(1.0, gt=0)
    """What an unwanted answer weighs."""

    @property
    def mixes(self) -> str | None:
        return "it asks how far the model has moved on all rows of a step"

    def __call__(self, model: LanguageModel, batch: RatedBatch) -> Loss:
        gain = batch.sums(model(batch.packed)) - batch.reference
        ahead = self.beta * torch.where(batch.wanted, gain - batch.drift, batch.drift - gain)
        weight = torch.where(batch.wanted, self.wanted_weight, self.unwanted_weight)
        moved = gain.detach()
        metrics = {
            "wanted_gain": moved[batch.wanted].sum(),
            "unwanted_gain": moved[~batch.wanted].sum(),
            "accuracy": (ahead.detach() > 0).float().sum(),
            "drift": batch.drift * batch.units,
        }
        return Loss((weight * (1 - ahead.sigmoid())).sum(), metrics)
