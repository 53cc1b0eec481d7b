"""Supervised fine-tuning: make the wanted tokens likely.

- sum over trained tokens of log p(token | what stands before it)
"""

from typing import ClassVar, Literal

from tunesmith.core.batch import TokenBatch
from tunesmith.core.loss import Loss
from tunesmith.core.protocols import Eats, LanguageModel
from tunesmith.objectives.objective import ObjectiveConfig


class SFT(ObjectiveConfig):
    """Learn to produce the trained tokens of each example."""

    eats: ClassVar[Eats] = "tokens"
    kind: Literal["sft"] = "sft"

    def __call__(self, model: LanguageModel, batch: TokenBatch) -> Loss:
        return Loss(-model(batch).sum())
