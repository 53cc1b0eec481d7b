"""Simple preference optimisation: the chosen answer is likelier per token by a margin. No reference.

-log s(beta l(c) - beta l(r) - gamma)      l(y) = log pi(y) / |y|

Meng et al. 2024, https://arxiv.org/abs/2405.14734, equation 6.
"""

from typing import ClassVar, Literal

from pydantic import Field
from torch.nn.functional import logsigmoid

from tunesmith.core.answers import PairBatch
from tunesmith.core.loss import Loss
from tunesmith.core.protocols import Eats, LanguageModel
from tunesmith.objectives.compared import of_pairs, told
from tunesmith.objectives.objective import ObjectiveConfig


class SimPO(ObjectiveConfig):
    """Prefer the chosen answer by its mean log-probability, without a reference (SimPO)."""

    eats: ClassVar[Eats] = "pairs"
    rate: ClassVar[float] = 0.1
    kind: Literal["simpo"] = "simpo"

    beta: float = Field(2.0, gt=0)
    """What a nat per token is worth."""
    gamma: float = Field(1.0, ge=0)
    """By how much the chosen answer shall be ahead, in the same worth; the paper advises 0.3 to 1.6 at beta 2."""

    def __call__(self, model: LanguageModel, batch: PairBatch) -> Loss:
        worth = self.beta * batch.sums(model(batch.packed)) / batch.lengths()
        chosen, rejected = of_pairs(worth, batch)
        return Loss(-logsigmoid(chosen - rejected - self.gamma).sum(), told(chosen, rejected))
