"""GRPO: answers to one prompt are judged against each other; no network predicts what to expect.

sum over labels of  w (-min(r A, clip(r, 1 - low, 1 + high) A) + beta KL)

GRPO:     A = (reward - mean of the group) / (std of the group + 1e-4), w = 1 / length   (Shao 2024, 2402.03300)
DAPO:     w the same for each token of the step, high = 0.28, no KL, prompts whose answers are all worth the same
          replaced by others                                                             (Yu 2025, 2503.14476)
Dr. GRPO: A without the division, w = 1 / longest answer, no KL                          (Liu 2025, 2503.20783)

A and w are set in the stream (`streams.advantages`): the formula is one. What DAPO and Dr. GRPO criticise is that
dividing by the length makes long wrong answers cheap, and that dividing by the spread makes easy and hard prompts loud.
"""

from typing import Literal

from pydantic import Field

from tunesmith.core.loss import Loss
from tunesmith.core.protocols import LanguageModel
from tunesmith.core.rollouts import RolloutBatch
from tunesmith.objectives.policy import FromRewards, clipped, diary, distance

Variant = Literal["grpo", "dapo", "dr_grpo"]
_BETA = {"grpo": 0.04, "dapo": 0.0, "dr_grpo": 0.0}
_HIGH = {"grpo": 0.2, "dapo": 0.28, "dr_grpo": 0.2}
_REDRAWS = {"grpo": 0, "dapo": 3, "dr_grpo": 0}


class GRPO(FromRewards):
    """Learn from the rewards of several answers to each prompt, compared with each other."""

    kind: Literal["grpo"] = "grpo"
    answers: int = Field(8, ge=2, le=4096)
    """Answers that are sampled for each prompt of a step: the group that they are compared in."""
    variant: Variant = "grpo"
    """Which paper sets advantages and weights: grpo, dapo or dr_grpo."""
    epsilon_low: float = Field(0.2, ge=0, le=1)
    """How far a token's probability may fall, as a share of what it was, before it stops counting."""
    epsilon_high: float | None = Field(None, ge=0)
    """How far it may rise. None: as the paper of the variant has it, 0.28 for dapo, else 0.2."""
    beta: float | None = Field(None, ge=0)
    """What a nat of distance from the base costs. None: as the paper has it, 0.04 for grpo, else 0."""
    redraws: int | None = Field(None, ge=0, le=20)
    """How often, in a step, prompts whose answers are all worth the same give their place to other prompts (DAPO's
    dynamic sampling). None: as the paper has it, but at most 3 times for dapo, else 0."""

    @property
    def cost(self) -> float:
        return _BETA[self.variant] if self.beta is None else self.beta

    @property
    def high(self) -> float:
        return _HIGH[self.variant] if self.epsilon_high is None else self.epsilon_high

    @property
    def most_redraws(self) -> int:
        return _REDRAWS[self.variant] if self.redraws is None else self.redraws

    def __call__(self, model: LanguageModel, batch: RolloutBatch) -> Loss:
        logprobs = model(batch.packed)  # (L,)
        ratio = (logprobs - batch.old).exp()
        gain, held = clipped(ratio, batch.advantage, self.epsilon_low, self.high)
        lost = -gain
        if self.cost:
            lost = lost + self.cost * distance(logprobs, batch.reference)
        return Loss((batch.weight * lost).sum(), diary(batch, logprobs, held))
