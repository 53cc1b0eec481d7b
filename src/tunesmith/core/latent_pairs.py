"""Pairs of noisy pictures for a denoiser: a better and a worse one of the same caption, under the same noise.

Shapes: P pairs, B = 2 P pictures.
"""

from dataclasses import dataclass

from torch import Tensor

from tunesmith.core.batch import Batch
from tunesmith.core.latents import LatentBatch


@dataclass(frozen=True, slots=True)
class LatentPairs(Batch):
    """Pictures of one shape in pairs, the better one first, and what the frozen base makes of them."""

    pictures: LatentBatch  # better, worse, better, worse, ...
    reference: Tensor  # (B,), mean squared error of the base

    @property
    def units(self) -> int:
        return len(self.reference) // 2

    @property
    def size(self) -> int:
        return self.pictures.size

    @property
    def rows(self) -> tuple[int, ...]:
        return self.pictures.source[::2]

    def halves(self) -> tuple["LatentPairs", "LatentPairs"] | None:
        if self.units < 2:
            return None
        middle, end = 2 * (self.units // 2), len(self.reference)
        return self._part(0, middle), self._part(middle, end)

    def _part(self, start: int, stop: int) -> "LatentPairs":
        return LatentPairs(self.pictures.part(start, stop), self.reference[start:stop])
