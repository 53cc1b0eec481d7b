"""Texts with a number each: a class or a value that a head must give, read at the last token of the text.

Shapes: T tokens of all examples of a pass in one flat row, N examples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

import torch
from torch import Tensor

from tunesmith.core.batch import Batch, Example, TokenBatch, pack
from tunesmith.core.headed import Scale


@dataclass(frozen=True, slots=True)
class Target(Example):
    """One row as tokens, none of which is trained, and what is wanted of it."""

    target: float = 0.0  # the number of its class, or a value in standard units
    weight: float = 1.0  # how much it counts in the sum


@dataclass(frozen=True, slots=True)
class TargetBatch(Batch):
    """A packed row and the number that is wanted of each of its examples."""

    packed: TokenBatch  # without labels
    targets: Tensor  # (N,), float32
    weights: Tensor  # (N,)

    @property
    def units(self) -> int:
        return len(self.targets)

    @property
    def size(self) -> int:
        return self.packed.size

    @property
    def rows(self) -> tuple[int, ...]:
        return self.packed.source

    def halves(self) -> tuple["TargetBatch", "TargetBatch"] | None:
        parts = self.packed.halves()
        if parts is None:
            return None
        sizes = [len(part.lengths) for part in parts]
        columns = zip(self.targets.split(sizes), self.weights.split(sizes), strict=True)
        first, second = (TargetBatch(part, *own) for part, own in zip(parts, columns, strict=True))
        return first, second

    def to(self, device: torch.device) -> "TargetBatch":
        moved = (x.to(device, non_blocking=True) for x in (self.targets, self.weights))
        return TargetBatch(self.packed.to(device), *moved)


def scale_of(examples: Sequence[Example]) -> Scale:
    """-> mean and standard deviation of what is wanted of `examples`."""
    wanted = [example.target for example in examples if isinstance(example, Target)]
    return Scale(fmean(wanted), pstdev(wanted))


def pack_targets(examples: Sequence[Target], *, share: bool = False) -> TargetBatch:
    """As `core.batch.pack`."""
    wanted = torch.tensor([[e.target, e.weight] for e in examples], dtype=torch.float32)  # (N, 2)
    return TargetBatch(pack(examples, share=share), *wanted.T.contiguous())
