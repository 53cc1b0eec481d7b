"""What flows from data to objectives: one dataclass for each kind of example.

Shapes: T tokens of all examples of a pass in one flat row, N examples, L labelled tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

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
    def size(self) -> int:
        """How many tokens (images, ...) its examples have; more than pass through the model where some are shared."""
        raise AssertionError("every kind of batch counts its own size")

    @property
    def rows(self) -> tuple[int, ...]:
        """Where the examples came from: row numbers to name in a message."""
        raise AssertionError("every kind of batch knows its rows")

    def halves(self) -> tuple[Self, Self] | None:
        """The same examples as two smaller batches, or None when there is only one example left."""
        raise AssertionError("every kind of batch knows how to be cut")

    def to(self, device: torch.device) -> Self:
        return type(self)(*(_moved(getattr(self, f.name), device) for f in fields(self)))


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    return value.to(device) if isinstance(value, Batch) else value


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
    """A packed row: examples one behind the other, no padding, positions restart, attention never crosses.

    What all of them begin with may stand at the head of the row once; then `lengths` count what follows it.
    """

    tokens: Tensor  # (T,)
    labels: Tensor  # (T,), the token that follows, or IGNORED
    positions: Tensor  # (T,)
    lengths: tuple[int, ...]  # N numbers whose sum is T less `shared`
    source: tuple[int, ...]  # N row numbers
    branches: Tensor | None = None  # (T,), see Example
    shared: int = 0  # tokens at the head of the row that belong to every example; none of them has a label

    @property
    def units(self) -> int:
        return int((self.labels != IGNORED).sum())

    @property
    def rows(self) -> tuple[int, ...]:
        return self.source

    @property
    def size(self) -> int:
        return len(self.tokens) + self.shared * (len(self.lengths) - 1)

    def halves(self) -> tuple["TokenBatch", "TokenBatch"] | None:
        if len(self.lengths) < 2:
            return None
        middle = len(self.lengths) // 2
        return self._part(0, middle), self._part(middle, len(self.lengths))

    def _part(self, start: int, stop: int) -> "TokenBatch":
        first = self.shared + sum(self.lengths[:start])
        last = first + sum(self.lengths[start:stop])

        def cut(x: Tensor) -> Tensor:
            return torch.cat([x[: self.shared], x[first:last]])

        return TokenBatch(
            cut(self.tokens),
            cut(self.labels),
            cut(self.positions),
            self.lengths[start:stop],
            self.source[start:stop],
            None if self.branches is None else cut(self.branches),
            self.shared,
        )


WORTH_SHARING = 16  # tokens that a shared beginning must save


def pack(examples: Sequence[Example], *, share: bool = False) -> TokenBatch:
    """Lay `examples` one behind the other. The last label of each is IGNORED: nothing follows it.

    With `share`, a beginning that all have in common and that nothing is learned from (a system message, the fixed
    words of a question) is laid down once. The numbers and the gradient are the same, for what a token becomes
    depends on nothing behind it.
    """
    labels = [_next_labels(example) for example in examples]
    shared = _common(examples, labels) if share else 0
    parts: list[list[list[int]]] = [[], [], [], []]
    for i, example in enumerate(examples):
        row = (example.tokens, labels[i], _positions(example), example.branches or [0] * len(example))
        for part, values in zip(parts, row, strict=True):
            part.append(list(values[shared if i else 0 :]))
    tokens, labelled, positions, branches = (torch.tensor([v for one in part for v in one]) for part in parts)
    return TokenBatch(
        tokens,
        labelled,
        positions,
        tuple(len(e) - shared for e in examples),
        tuple(e.row for e in examples),
        branches if any(e.branches for e in examples) else None,
        shared,
    )


def _common(examples: Sequence[Example], labels: Sequence[Sequence[int]]) -> int:
    """-> how many tokens all examples begin with, none of them labelled, none in a branch; 0 if it is not worth it."""
    free = min(_unlabelled(e, y) for e, y in zip(examples, labels, strict=True))
    first = examples[0].tokens
    length = 0
    while length < free and all(e.tokens[length] == first[length] for e in examples):
        length += 1
    return length if length * (len(examples) - 1) >= WORTH_SHARING else 0


def _unlabelled(example: Example, labels: Sequence[int]) -> int:
    """-> tokens before the first label or branch; at least one is left over, for an example is never empty."""
    taken = (i for i, label in enumerate(labels) if label != IGNORED or (example.branches and example.branches[i]))
    return next(taken, len(example) - 1)


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
