"""Supervised fine-tuning: make the wanted tokens likely.

- sum over trained tokens of log p(token | what stands before it)
"""

from typing import Literal

from tunesmith.core.batch import TokenBatch
from tunesmith.core.config import Config
from tunesmith.core.loss import Loss
from tunesmith.core.protocols import LanguageModel


class SFT(Config):
    """Learn to produce the trained tokens of each example."""

    kind: Literal["sft"] = "sft"

    def __call__(self, model: LanguageModel, batch: TokenBatch) -> Loss:
        return Loss(-model(batch).sum())
