"""PPO: a value head learns what to expect at each token, and only what is better than that counts.

sum over labels of  w (-min(r A, clip(r, 1 - e, 1 + e) A) + c/2 max((v - G)^2, (near - G)^2))
near = clip(v, v_old - e_v, v_old + e_v)                    (Schulman 2017, 1707.06347; Ziegler 2019, 1909.08593)

A is GAE (Schulman 2016, 1506.02438), whitened over the step; G = A + v_old before whitening; both are set in the
stream. The distance to the base is a penalty on the loss (`kl: penalty`, beta k3), or is taken off each token's reward
(`kl: reward`), as Ziegler has it.
"""

from typing import ClassVar, Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor

from tunesmith.core.batch import TokenBatch
from tunesmith.core.loss import Loss
from tunesmith.core.rollouts import RolloutBatch
from tunesmith.objectives.policy import FromRewards, clipped, diary, distance


class ValuedModel(Protocol):
    """A language model with a value head."""

    def with_values(self, batch: TokenBatch, /) -> tuple[Tensor, Tensor]:
        """-> (L,), (L,): the log-probability of each label, and what is expected of the state before it."""
        ...


class PPO(FromRewards):
    """Learn from rewards, against what a value head expects at each token."""

    kind: Literal["ppo"] = "ppo"
    valued: ClassVar[bool] = True
    answers: int = Field(4, ge=1, le=4096)
    """Answers that are sampled for each prompt of a step."""
    updates: int = Field(4, ge=1, le=64)
    """Steps that learn from the same answers before new ones are sampled."""
    epsilon: float = Field(0.2, ge=0, le=1)
    """How far a token's probability may move, as a share of what it was, before it stops counting."""
    epsilon_value: float = Field(0.2, gt=0)
    """How far the expectation may move for one set of answers before it stops counting."""
    value_weight: float = Field(0.5, gt=0)
    """How much the error of the expectation counts beside the policy."""
    value_rate: float = Field(10.0, gt=0)
    """The learning rate of the value head, as a multiple of that of the rest: it starts at nothing."""
    discount: float = Field(1.0, gt=0, le=1)
    """What a reward is worth one token earlier."""
    trace: float = Field(0.95, ge=0, le=1)
    """GAE's lambda: 1 looks at what came, 0 at what was expected one token later."""
    kl: Literal["penalty", "reward"] = "reward"
    """Where the distance from the base counts: as a penalty on the loss, or in the reward of each token."""
    beta: float = Field(0.05, ge=0)
    """What a nat of that distance costs."""

    def __call__(self, model: ValuedModel, batch: RolloutBatch) -> Loss:
        logprobs, values = model.with_values(batch.packed)  # (L,) each
        gain, held = clipped((logprobs - batch.old).exp(), batch.advantage, self.epsilon, self.epsilon)
        near = batch.value + (values - batch.value).clamp(-self.epsilon_value, self.epsilon_value)
        error = torch.maximum((values - batch.goal) ** 2, (near - batch.goal) ** 2) / 2
        lost = self.value_weight * error - gain
        if self.kl == "penalty":
            lost = lost + self.beta * distance(logprobs, batch.reference)
        more = {"value_error": error.detach().sum(), "value": values.detach().sum()}
        return Loss((batch.weight * lost).sum(), diary(batch, logprobs, held) | more)
