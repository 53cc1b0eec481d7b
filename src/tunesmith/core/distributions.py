"""Tokens with what a teacher finds likely in their places: some likely tokens, and how likely it finds each.

The rest of the vocabulary is one remaining probability, so that a batch stays small; the more tokens are kept, the
nearer are sums over them to those over all.

Shapes: L labels, K tokens that are kept.
"""

from dataclasses import dataclass, replace

from torch import Tensor

from tunesmith.core.batch import Batch, TokenBatch


@dataclass(frozen=True, slots=True)
class DistributionBatch(Batch):
    """A packed row, and a distribution for each of its labels."""

    packed: TokenBatch
    choices: Tensor  # (L, K), tokens
    teacher: Tensor  # (L, K), their log-probabilities
    told: tuple[tuple[str, float], ...] = ()  # what the stream has to tell about the step: the same in all its passes

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
        cuts = zip(parts, (slice(0, first), slice(first, None)), strict=True)
        one, other = (
            replace(self, packed=packed, choices=self.choices[cut], teacher=self.teacher[cut]) for packed, cut in cuts
        )
        return one, other
