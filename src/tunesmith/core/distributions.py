"""Tokens with what a teacher finds likely in their places: its likeliest tokens, and how likely they are.

The rest of the vocabulary is one remaining probability, so that a batch stays small; the more tokens are kept, the
nearer are sums over them to those over all.

Shapes: L labels, K tokens that the teacher finds likeliest, likeliest first.
"""

from dataclasses import dataclass

from torch import Tensor

from tunesmith.core.batch import Batch, TokenBatch


@dataclass(frozen=True, slots=True)
class DistributionBatch(Batch):
    """A packed row, and a distribution for each of its labels."""

    packed: TokenBatch
    choices: Tensor  # (L, K), tokens
    teacher: Tensor  # (L, K), their log-probabilities

    @property
    def units(self) -> int:
        return self.packed.units

    @property
    def size(self) -> int:
        return self.packed.size

    @property
    def rows(self) -> tuple[int, ...]:
        return self.packed.rows

    def halves(self) -> tuple["DistributionBatch", "DistributionBatch"] | None:
        parts = self.packed.halves()
        if parts is None:
            return None
        first = parts[0].units
        return (
            DistributionBatch(parts[0], self.choices[:first], self.teacher[:first]),
            DistributionBatch(parts[1], self.choices[first:], self.teacher[first:]),
        )
