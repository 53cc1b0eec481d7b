"""Odds-ratio preference optimisation: learn the chosen answer, and make it likelier than the rejected. No reference.

-l(c) - beta log s(o(c) - o(r))      l(y) = log pi(y) / |y|      o(y) = l(y) - log(1 - exp l(y))

Hong et al. 2024, https://arxiv.org/abs/2403.07691, equations 4 to 6. As in the paper the first term is the loss of the
answer given its prompt; TRL (1.16) adds the prompt's own tokens to it.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import logsigmoid

from tunesmith.core.answers import PairBatch
from tunesmith.core.loss import Loss
from tunesmith.core.protocols import Eats, LanguageModel
from tunesmith.objectives.compared import of_pairs, told
from tunesmith.objectives.objective import ObjectiveConfig


class ORPO(ObjectiveConfig):
    """Learn the chosen answer and turn from the rejected one in a single training, without a reference (ORPO)."""

    eats: ClassVar[Eats] = "pairs"
    rate: ClassVar[float] = 0.3
    kind: Literal["orpo"] = "orpo"

    beta: float = Field(0.1, gt=0)
    """What the odds ratio weighs against the loss of the chosen answer (the paper's lambda)."""

    def __call__(self, model: LanguageModel, batch: PairBatch) -> Loss:
        mean = batch.sums(model(batch.packed)) / batch.lengths()
        chosen, rejected = of_pairs(mean, batch)
        ratio = log_odds(chosen) - log_odds(rejected)
        metrics = {**told(chosen, rejected), "log_odds_ratio": ratio.detach().sum()}
        return Loss((-chosen - self.beta * logsigmoid(ratio)).sum(), metrics)


def log_odds(logprob: Tensor) -> Tensor:
    """log(p / (1 - p)) of log p. An answer that is certain would have infinite odds: p stays a little below 1."""
    below = logprob.clamp(max=-1e-6)
    return below - torch.log1p(-below.exp())
