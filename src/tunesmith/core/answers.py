"""A prompt and several answers to it: one tree, in which the prompt is computed once, and batches of such trees.

The trunk is the prompt but for its last token, which stands at the head of each branch; branch k is the k-th answer.

Shapes: T tokens of a packed row, L labelled ones, A answers of all trees of the row, P pairs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
from torch import Tensor

from tunesmith.core.batch import IGNORED, Batch, Example, TokenBatch, pack

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Answers(Example):
    """A tree, and what is known of its answers, which are counted from 0."""

    count: int = 0
    better: tuple[Pair, ...] = ()  # of two answers, the better one first
    margins: tuple[float, ...] = ()  # of each pair, by how much; empty when no row says so
    wanted: tuple[bool, ...] = ()  # of each answer by itself; empty where answers are only compared

    @property
    def lengths(self) -> tuple[int, ...]:
        """How many tokens of each answer are learned."""
        assert self.branches is not None
        learned = [branch for branch, trained in zip(self.branches, self.trained, strict=True) if trained]
        return tuple(learned.count(k) for k in range(1, self.count + 1))

    @property
    def paths(self) -> tuple[Example, ...]:
        """Each answer with its prompt, as an example of its own."""
        assert self.branches is not None
        rows = list(zip(self.tokens, self.trained, self.branches, strict=True))
        own = ([row for row in rows if row[2] in (0, k)] for k in range(1, self.count + 1))
        return tuple(Example([t for t, _, _ in path], [y for _, y, _ in path], self.row) for path in own)


@dataclass(frozen=True, slots=True)
class Asked(Example):
    """A prompt alone, nothing of it trained: answers are still to be written."""

    prompt: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)  # the row, as a reward may want to see it


def tree(answers: Sequence[Example], *, share: bool = True, **known: Any) -> Answers:
    """-> examples that begin with the same prompt as one tree. `known`: the other fields of `Answers`.

    Shared is what is equal, token for token, and trained in none of them: it does not matter where a tokenizer would
    have cut the prompt. The row is that of the first. `share`: else each branch has its prompt, the yardstick.
    """
    # The last token of all stands at the head of each branch.
    shared = max(0, _alike(answers) - 1) if share else 0
    tokens, trained = list(answers[0].tokens[:shared]), [False] * shared
    branches = [0] * shared
    for number, answer in enumerate(answers, start=1):
        tokens += answer.tokens[shared:]
        trained += [False, *answer.trained[shared + 1 :]]
        branches += [number] * (len(answer) - shared)
    return Answers(tokens, trained, answers[0].row, branches, len(answers), **known)


def _alike(answers: Sequence[Example]) -> int:
    first = answers[0]
    most = min(min(len(a), list(a.trained).index(True)) for a in answers)
    return next((i for i in range(most) if any(a.tokens[i] != first.tokens[i] for a in answers)), most)


def owners(packed: TokenBatch, counts: Sequence[int]) -> Tensor:
    """-> (L,): the answer of each label, counted over all trees of the row. `counts`: how many each tree has."""
    assert packed.branches is not None
    firsts = torch.tensor([0, *counts[:-1]]).cumsum(0)
    lengths = list(packed.lengths)
    lengths[0] += packed.shared  # a shared beginning has no labels: it may belong to anyone
    of_tokens = torch.repeat_interleave(firsts, torch.tensor(lengths)) + packed.branches.cpu() - 1
    return of_tokens[packed.labels.cpu() != IGNORED]


@dataclass(frozen=True, slots=True)
class AnswerBatch(Batch):
    """Trees that share one forward pass, and which answer each label belongs to."""

    packed: TokenBatch
    owner: Tensor  # (L,), 0..A-1
    reference: Tensor  # (A,), the log-probability of each answer under the frozen reference; zeros where none is asked
    trees: tuple[Answers, ...]

    @classmethod
    def of(cls, trees: Sequence[Answers], reference: Sequence[Sequence[float]]) -> Self:
        """`reference`: a number for each answer of each tree."""
        packed = pack(trees, share=True)
        flat = torch.tensor([value for values in reference for value in values], dtype=torch.float64)
        return cls(packed, owners(packed, [t.count for t in trees]), flat, tuple(trees), *cls.more(trees))

    @classmethod
    def more(cls, trees: Sequence[Answers]) -> tuple[Any, ...]:
        """-> the fields that a kind of batch adds."""
        return ()

    @property
    def size(self) -> int:
        return self.packed.size

    @property
    def rows(self) -> tuple[int, ...]:
        return self.packed.rows

    def halves(self) -> tuple[Self, Self] | None:
        if len(self.trees) < 2:
            return None
        values = self.reference.split([t.count for t in self.trees])
        known = [value.tolist() for value in values]
        middle = len(self.trees) // 2
        return self.of(self.trees[:middle], known[:middle]), self.of(self.trees[middle:], known[middle:])

    def sums(self, logprobs: Tensor) -> Tensor:
        """(L,) -> (A,): the log-probability of each answer, in float64: differences of large sums are what counts."""
        return torch.zeros_like(self.reference).index_add(0, self.owner, logprobs.to(self.reference.dtype))

    def lengths(self) -> Tensor:
        """-> (A,), the labelled tokens of each answer."""
        return torch.bincount(self.owner, minlength=len(self.reference))


def _firsts(trees: Sequence[Answers]) -> list[int]:
    return [sum(t.count for t in trees[:i]) for i in range(len(trees))]


@dataclass(frozen=True, slots=True)
class PairBatch(AnswerBatch):
    """Answers of which some are better than others. Its unit is the pair."""

    pairs: Tensor  # (P, 2), the better answer first
    margins: Tensor  # (P,), zeros where no row gives one

    @classmethod
    def more(cls, trees: Sequence[Answers]) -> tuple[Any, ...]:
        firsts = _firsts(trees)
        pairs = [(at + a, at + b) for at, t in zip(firsts, trees, strict=True) for a, b in t.better]
        margins = [m for t in trees for m in (t.margins or (0.0,) * len(t.better))]
        return torch.tensor(pairs, dtype=torch.long).view(-1, 2), torch.tensor(margins, dtype=torch.float64)

    @property
    def units(self) -> int:
        return len(self.pairs)


@dataclass(frozen=True, slots=True)
class RatedBatch(AnswerBatch):
    """Answers each of which is wanted or not. Its unit is the answer."""

    wanted: Tensor  # (A,), bool
    drift: Tensor  # (), how far the policy has moved from the reference, measured over the whole step

    @classmethod
    def more(cls, trees: Sequence[Answers]) -> tuple[Any, ...]:
        return torch.tensor([w for t in trees for w in t.wanted]), torch.zeros(())

    @property
    def units(self) -> int:
        return len(self.wanted)

    def halves(self) -> tuple["RatedBatch", "RatedBatch"] | None:
        parts = AnswerBatch.halves(self)  # `super()` does not know classes with slots
        return None if parts is None else (replace(parts[0], drift=self.drift), replace(parts[1], drift=self.drift))
