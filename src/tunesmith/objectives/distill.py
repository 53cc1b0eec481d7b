"""Distillation: a small model learns what a larger one finds likely, not only what was written.

sum over trained tokens of  KL(teacher || student)                                      (Hinton 2015, 1503.02531)

The sum inside is over the teacher's `top` likeliest tokens and one remaining probability of all the others: never more
than the divergence over the whole vocabulary, and equal to it when all tokens are kept. The teacher is asked in the
stream. What is left out: the temperature of the paper, and answers of the student's own.
"""

from typing import ClassVar, Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor

from tunesmith.core.batch import TokenBatch
from tunesmith.core.distributions import DistributionBatch
from tunesmith.core.loss import Loss
from tunesmith.core.protocols import Eats
from tunesmith.objectives.objective import ObjectiveConfig

_LITTLE = 1e-6  # a remaining probability below this is rounding


class ChoosingModel(Protocol):
    """A language model that says how likely several tokens are in the place of one."""

    def among(self, batch: TokenBatch, choices: Tensor, /) -> Tensor:
        """(L, K) tokens for each label -> (L, K), their log-probabilities."""
        ...


class Distill(ObjectiveConfig):
    """Learn, on given answers, what a larger local model with the same tokenizer finds likely."""

    eats: ClassVar[Eats] = "tokens"
    kind: Literal["distill"] = "distill"

    teacher: str
    """The larger model: a name of the catalogue, a folder, or a GGUF file. Its tokenizer must be the base's."""
    top: int = Field(64, ge=1)
    """How many of the teacher's likeliest tokens are kept at each place; all the others count together."""

    def __call__(self, model: ChoosingModel, batch: DistributionBatch) -> Loss:
        student = model.among(batch.packed, batch.choices)  # (L, K)
        same = student.detach().argmax(1) == 0  # the teacher's likeliest stands first
        return Loss(divergence(batch.teacher, student).sum(), {"agreement": same.float().sum()})


def divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """(L, K), (L, K) log-probabilities of the same tokens -> (L,), KL(teacher || student), the rest as one token."""
    kept = (teacher.exp() * (teacher - student)).sum(1)
    rest, other = 1 - teacher.exp().sum(1), 1 - student.exp().sum(1)
    last = rest * (rest.clamp(min=_LITTLE).log() - other.clamp(min=_LITTLE).log())
    return kept + torch.where(rest > _LITTLE, last, torch.zeros_like(last))
