"""A reward model: one number for each answer, larger for the one that people prefer (Bradley and Terry 1952).

- log s(r(c) - r(r) - m) + a (r(c) + r(r))^2

m, how much better the chosen answer was found, is a row's own (section 3.2.2 of https://arxiv.org/abs/2307.09288);
a keeps rewards around zero, for pairs tell only differences (appendix A of https://arxiv.org/abs/2312.09244).
"""

from typing import ClassVar, Literal

from pydantic import Field
from torch.nn.functional import logsigmoid

from tunesmith.core.answers import PairBatch
from tunesmith.core.loss import Loss
from tunesmith.core.protocols import Eats, Ending, LanguageModel
from tunesmith.objectives.compared import of_pairs, told
from tunesmith.objectives.objective import ScoringConfig


class Reward(ScoringConfig):
    """Learn to score answers from pairs of them, by a new head over the base: a reward model."""

    eats: ClassVar[Eats] = "ranked"
    ending: ClassVar[Ending] = "value"
    kind: Literal["reward"] = "reward"

    center: float = Field(0.0, ge=0, allow_inf_nan=False)
    """How strongly rewards are drawn towards zero. 0.01 is what its authors use."""

    def __call__(self, model: LanguageModel, batch: PairBatch) -> Loss:
        rewards = model(batch.packed)[:, 0]  # (A,)
        chosen, rejected = of_pairs(rewards, batch)
        each = -logsigmoid(chosen - rejected - batch.margins) + self.center * (chosen + rejected).square()
        return Loss(each.sum(), told(chosen, rejected))
