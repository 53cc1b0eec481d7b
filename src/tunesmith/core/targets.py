"""Texts with a number each: a class or a value that a head must give, read at the last token of the text.

Shapes: T tokens of all examples of a pass in one flat row, N examples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tunesmith.core.batch import Batch, Example, TokenBatch, pack


@dataclass(frozen=True, slots=True)
class Target(Example):
    """One row as tokens, none of which is trained, and what is wanted of it."""

    target: float = 0.0  # the number of its class, or a value in standard units
    weight: float = 1.0  # how much it counts in the sum


@dataclass(frozen=True, slots=True)
class TargetBatch(Batch):
    """A packed row and, for each of its examples, the place that is scored and the number that is wanted."""

    packed: TokenBatch  # without labels
    ends: Tensor  # (N,), places of last tokens
    targets: Tensor  # (N,), float32
    weights: Tensor  # (N,)

    @property
    def units(self) -> int:
        return len(self.packed.lengths)

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
        middle = len(parts[0].lengths)
        first = TargetBatch(parts[0], ends_of(parts[0]), self.targets[:middle], self.weights[:middle])
        return first, TargetBatch(parts[1], ends_of(parts[1]), self.targets[middle:], self.weights[middle:])

    def to(self, device: torch.device) -> "TargetBatch":
        moved = (x.to(device, non_blocking=True) for x in (self.ends, self.targets, self.weights))
        return TargetBatch(self.packed.to(device), *moved)


def pack_targets(examples: Sequence[Target], *, share: bool = False) -> TargetBatch:
    """As `core.batch.pack`."""
    packed = pack(examples, share=share)
    wanted = torch.tensor([[e.target, e.weight] for e in examples], dtype=torch.float32)  # (N, 2)
    return TargetBatch(packed, ends_of(packed), wanted[:, 0].clone(), wanted[:, 1].clone())


def ends_of(packed: TokenBatch) -> Tensor:
    """-> (N,), where the last token of each example stands in the row."""
    return torch.tensor(packed.lengths, device=packed.tokens.device).cumsum(0) + packed.shared - 1


def without_padding(tokens: Sequence[int], pad: int | None) -> list[int]:
    """`tokens` up to the last that is no padding token: there transformers reads the score of a decoder.

    What stands behind it changes nothing, and many bases pad with the token that ends a turn.
    """
    kept = list(tokens)
    while len(kept) > 1 and kept[-1] == pad:
        kept.pop()
    return kept
