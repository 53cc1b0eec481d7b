"""Distillation: a small model learns what a larger one finds likely, not only what was written.

sum over tokens of a divergence between teacher p and student q

forward   KL(p || q)                                                                (Hinton 2015, 1503.02531)
reverse   KL(q || p)                                                                (Gu 2023, 2306.08543)
jsd       m KL(p || M) + (1 - m) KL(q || M),  M = m p + (1 - m) q                   (Agarwal 2023, GKD, 2306.13649)

The sums inside are over `top` tokens and one remaining probability of all others: never more than the divergence over
the whole vocabulary, and equal to it when all tokens are kept. Which tokens are kept, what the teacher says of them and
which answers the student has written itself is set in the stream. What is left out: the temperature of the first paper.

Shapes: L labels, K tokens that are kept.
"""

import math
from typing import ClassVar, Literal, Protocol

import torch
from pydantic import Field, model_validator
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
    """Learn what a larger local model with the same tokenizer finds likely, on given answers or on the base's own."""

    eats: ClassVar[Eats] = "tokens"
    kind: Literal["distill"] = "distill"

    teacher: str
    """The larger model: a name of the catalogue, a folder, or a GGUF file. Its tokenizer must be the base's."""
    top: int = Field(64, ge=1)
    """How many likely tokens are kept at each place; all the others count together."""
    divergence: Literal["forward", "reverse", "jsd"] = "forward"
    """forward: all that the teacher may say must be likely. reverse: what the base says must be likely to the teacher;
    better where the base is too small to say everything. jsd: between them."""
    mix: float = Field(0.5, gt=0, lt=1)
    """jsd: the share of the teacher in the mixture (GKD's beta). Near 0 it is like forward, near 1 like reverse."""
    sampled: float = Field(0.0, ge=0, le=1)
    """The share of rows whose last answer the base writes itself, anew in each step (GKD's lambda). 0: only the answers
    of the rows. 1: only its own, so that it learns from the mistakes that it makes."""
    answer_tokens: int = Field(64, ge=1)
    """The longest answer that it writes."""

    @model_validator(mode="after")
    def _all_read(self) -> "Distill":
        if self.given("mix") and self.divergence != "jsd":
            raise ValueError(f"mix: read by divergence=jsd, not by {self.divergence}; remove it")
        if self.given("answer_tokens") and not self.sampled:
            raise ValueError("answer_tokens: read where the base writes answers; give sampled too, or remove it")
        return self

    def __call__(self, model: ChoosingModel, batch: DistributionBatch) -> Loss:
        student = model.among(batch.packed, batch.choices)  # (L, K)
        p, q = with_rest(batch.teacher), with_rest(student)
        same = student.detach().argmax(1) == batch.teacher.argmax(1)
        told = {name: torch.tensor(value * batch.units, dtype=torch.float64) for name, value in batch.told}
        return Loss(self.apart(p, q).sum(), {"agreement": same.float().sum()} | told)

    def apart(self, p: Tensor, q: Tensor) -> Tensor:
        """(L, K), (L, K) log-probabilities of teacher and student -> (L,)."""
        if self.divergence == "forward":
            return divergence(p, q)
        if self.divergence == "reverse":
            return divergence(q, p)
        middle = torch.logaddexp(p + math.log(self.mix), q + math.log(1 - self.mix))
        return self.mix * divergence(p, middle) + (1 - self.mix) * divergence(q, middle)


def divergence(one: Tensor, other: Tensor) -> Tensor:
    """(L, K), (L, K) log-probabilities -> (L,), KL(one || other)."""
    return (one.exp() * (one - other)).sum(1)


def with_rest(logprobs: Tensor) -> Tensor:
    """(L, K) -> (L, K + 1): and of all other tokens together."""
    rest = 1 - logprobs.exp().sum(1, keepdim=True)
    return torch.cat([logprobs, rest.clamp(min=_LITTLE).log()], 1)
