"""What the policy gradients share: the configuration of sampling, the clipped ratio, the distance to the reference.

r = p(token) / p_old(token)          gain = min(r A, clip(r, 1 - low, 1 + high) A)         (Schulman 2017, 1707.06347)
KL(p || p_ref) is estimated at each token by x - log x - 1 with x = p_ref / p                       (Schulman 2020, k3)

Shapes: L labels, the tokens of all answers of a pass.
"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from tunesmith.core.protocols import Eats
from tunesmith.core.rollouts import RolloutBatch
from tunesmith.objectives.objective import ObjectiveConfig


class FromRewards(ObjectiveConfig):
    """What every objective has that learns from answers of its own."""

    eats: ClassVar[Eats] = "prompts"
    rate: ClassVar[float] = 0.3
    valued: ClassVar[bool] = False
    """Whether it needs a model with a value head."""

    reward: str | dict[str, float]
    """What an answer is worth: a verifier (exact, number, regex:…, json-schema:file, length:10-200, format,
    reasoning-gym), a function of your own (my.py:function), the run folder of a reward model, or several with
    weights: {exact: 1.0, "my.py:brevity": 0.2}."""
    reward_seconds: float = Field(10.0, gt=0)
    """How long a reward may take for one answer before it is stopped, and the run with it."""
    answers: int = Field(8, ge=1, le=4096)
    """Answers that are sampled for each prompt of a step."""
    answer_tokens: int = Field(64, ge=1)
    """The longest answer."""
    updates: int = Field(1, ge=1, le=64)
    """Steps that learn from the same answers before new ones are sampled."""

    @property
    def most_redraws(self) -> int:
        """How often prompts whose answers are all worth the same give their place to others."""
        return 0

    @property
    def mixes(self) -> str | None:
        return "it compares answers with each other, over all rows of a step"


def clipped(ratio: Tensor, advantage: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    """-> the gain, and 1 where the clip holds it and there is no gradient."""
    free, held = ratio * advantage, ratio.clamp(1 - low, 1 + high) * advantage
    return torch.minimum(free, held), (held < free).float()


def distance(logprobs: Tensor, reference: Tensor) -> Tensor:
    """(L,), (L,) -> (L,), k3: never negative, and its mean is the Kullback-Leibler divergence."""
    x = reference - logprobs
    return x.exp() - x - 1


def diary(batch: RolloutBatch, logprobs: Tensor, held: Tensor) -> dict[str, Tensor]:
    """-> what to log about a pass, as sums over its labels: the mean of -log p over sampled tokens is their entropy."""
    now = logprobs.detach()
    sums = {
        "clipped": held.detach().sum(),
        "kl": distance(now, batch.reference).sum(),
        "entropy": -now.sum(),
        "moved": (now - batch.old).abs().sum(),
    }
    units = len(now)
    return sums | {name: torch.tensor(value * units, dtype=torch.float64) for name, value in batch.told}
