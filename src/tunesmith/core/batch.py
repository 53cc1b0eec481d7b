"""What flows from data to objectives: one dataclass for each kind of example.

Shapes: T tokens of all examples of a pass in one flat row, N examples, L labelled tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor

IGNORED = -100  # a label that no loss counts


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples that share one forward pass."""

    @property
    def units(self) -> int:
        """How many things the loss is a mean over. Read it before `to`: on a GPU it would wait."""
        raise AssertionError("every kind of batch counts its own units")

    @property
    def rows(self) -> tuple[int, ...]:
        """Where the examples came from: row numbers to name in a message."""
        raise AssertionError("every kind of batch knows its rows")

    def halves(self) -> tuple[Self, Self] | None:
        """The same examples as two smaller batches, or None when there is only one example left."""
        raise AssertionError("every kind of batch knows how to be cut")

    def to(self, device: torch.device) -> Self:
        moved = (getattr(self, f.name) for f in fields(self))
        return type(self)(*(v.to(device, non_blocking=True) if isinstance(v, Tensor) else v for v in moved))


@dataclass(frozen=True, slots=True)
class Example:
    """One row as tokens: what the model reads, and which of it is trained."""

    tokens: Sequence[int]
    trained: Sequence[bool]  # trained[t]: the model must learn to produce tokens[t]
    row: int
    branches: Sequence[int] | None = None
    """A tree: 0 marks the trunk, k > 0 the k-th continuation. A token sees the trunk and its own branch before it.
    The last token that all share stands at the head of each branch, so that every label is the token that follows."""

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def trained_tokens(self) -> int:
        return sum(self.trained)


@dataclass(frozen=True, slots=True)
class TokenBatch(Batch):
    """A packed row: examples one behind the other, no padding, positions restart, attention never crosses."""

    tokens: Tensor  # (T,)
    labels: Tensor  # (T,), the token that follows, or IGNORED
    positions: Tensor  # (T,)
    lengths: tuple[int, ...]  # N numbers whose sum is T
    source: tuple[int, ...]  # N row numbers
    branches: Tensor | None = None  # (T,), see Example

    @property
    def units(self) -> int:
        return int((self.labels != IGNORED).sum())

    @property
    def rows(self) -> tuple[int, ...]:
        return self.source

    def halves(self) -> tuple["TokenBatch", "TokenBatch"] | None:
        if len(self.lengths) < 2:
            return None
        middle = len(self.lengths) // 2
        return self._part(0, middle), self._part(middle, len(self.lengths))

    def _part(self, start: int, stop: int) -> "TokenBatch":
        first, last = sum(self.lengths[:start]), sum(self.lengths[:stop])
        cut = slice(first, last)
        branches = None if self.branches is None else self.branches[cut]
        return TokenBatch(
            self.tokens[cut],
            self.labels[cut],
            self.positions[cut],
            self.lengths[start:stop],
            self.source[start:stop],
            branches,
        )


def pack(examples: Sequence[Example]) -> TokenBatch:
    """Lay `examples` one behind the other. The last label of each is IGNORED: nothing follows it."""
    tokens: list[int] = []
    labels: list[int] = []
    positions: list[int] = []
    branches: list[int] = []
    for example in examples:
        tokens += example.tokens
        labels += _next_labels(example)
        positions += _positions(example)
        branches += example.branches or [0] * len(example)
    return TokenBatch(
        torch.tensor(tokens),
        torch.tensor(labels),
        torch.tensor(positions),
        tuple(len(e) for e in examples),
        tuple(e.row for e in examples),
        torch.tensor(branches) if any(e.branches for e in examples) else None,
    )


def _next_labels(example: Example) -> list[int]:
    pairs = zip(example.tokens, example.trained, strict=True)
    labels = [token if trained else IGNORED for token, trained in pairs]
    following = [*labels[1:], IGNORED]
    if example.branches is None:
        return following
    # The last token of a branch is not followed by the first token of the next one.
    ends = [a != b for a, b in zip(example.branches, [*example.branches[1:], -1], strict=True)]
    return [IGNORED if end else label for label, end in zip(following, ends, strict=True)]


def _positions(example: Example) -> list[int]:
    if example.branches is None:
        return list(range(len(example)))
    trunk = sum(branch == 0 for branch in example.branches)
    positions, place, before = [], 0, 0
    for branch in example.branches:
        if branch != before:
            place, before = trunk, branch
        positions.append(place)
        place += 1
    return positions
