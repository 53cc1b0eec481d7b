"""RLOO: REINFORCE over whole answers, each judged against the mean of the others to the same prompt.

sum over answers of  -min(r A, clip(r, 1 - low, 1 + high) A)      r = p(answer) / p_old(answer)
A = R - mean of the other answers' R          R = reward - beta log (p_old(answer) / p_ref(answer))
                                                                      (Kool 2019; Ahmadian 2024, 2402.14740)

With one update for each sampling r is 1 and this is REINFORCE with a leave-one-out baseline. A is set in the stream;
the weights of an answer's tokens add up to the answer's.
"""

from typing import Literal

import torch
from pydantic import Field

from tunesmith.core.loss import Loss
from tunesmith.core.protocols import LanguageModel
from tunesmith.core.rollouts import RolloutBatch
from tunesmith.objectives.policy import FromRewards, clipped, diary


class RLOO(FromRewards):
    """Learn from the rewards of several answers to each prompt, each compared with the mean of the others."""

    kind: Literal["rloo"] = "rloo"
    answers: int = Field(8, ge=2, le=4096)
    """Answers that are sampled for each prompt of a step: each is compared with the others."""
    epsilon_low: float = Field(0.2, ge=0, le=1)
    """How far an answer's probability may fall, as a share of what it was, before it stops counting."""
    epsilon_high: float = Field(0.2, ge=0)
    """How far it may rise."""
    beta: float = Field(0.05, ge=0)
    """What a nat of distance from the base takes off an answer's reward."""

    def __call__(self, model: LanguageModel, batch: RolloutBatch) -> Loss:
        logprobs = model(batch.packed)  # (L,)
        moved = torch.zeros(batch.answers, device=logprobs.device).index_add(0, batch.owner, logprobs - batch.old)
        ratio = moved.exp().index_select(0, batch.owner)
        gain, held = clipped(ratio, batch.advantage, self.epsilon_low, self.epsilon_high)
        return Loss(-(batch.weight * gain).sum(), diary(batch, logprobs, held))
