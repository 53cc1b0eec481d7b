"""Identity preference optimisation: the gap between two answers is drawn to a fixed size, and no further.

(h - 1 / (2 beta))^2      h = gain(c) - gain(r)      gain(y) = (log pi(y) - log ref(y)) / |y|

Azar et al. 2023, https://arxiv.org/abs/2310.12036, equation 17. The paper writes sums over the tokens of an answer; the
mean, which TRL takes too, is what its authors recommended for language models: with sums the fixed gap would mean
less the longer the answers are.
"""

from typing import ClassVar, Literal

from pydantic import Field

from tunesmith.core.answers import PairBatch
from tunesmith.core.loss import Loss
from tunesmith.core.protocols import Eats, LanguageModel
from tunesmith.objectives.compared import of_pairs, told
from tunesmith.objectives.objective import ObjectiveConfig


class IPO(ObjectiveConfig):
    """Prefer the chosen answer by a fixed margin: it does not run away on pairs that are certain (IPO)."""

    eats: ClassVar[Eats] = "pairs"
    refers: ClassVar[bool] = True
    rate: ClassVar[float] = 0.1
    kind: Literal["ipo"] = "ipo"

    beta: float = Field(0.1, gt=0)
    """The gap that is wanted is 1 / (2 beta), in nats a token."""

    def __call__(self, model: LanguageModel, batch: PairBatch) -> Loss:
        gain = (batch.sums(model(batch.packed)) - batch.reference) / batch.lengths()
        chosen, rejected = of_pairs(gain, batch)
        return Loss((chosen - rejected - 1 / (2 * self.beta)).square().sum(), told(chosen, rejected))
