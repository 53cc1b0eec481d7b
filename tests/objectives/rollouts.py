"""Rollouts of random numbers, as a stream would set them, for a model that is a table of numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tunesmith.core.batch import IGNORED, TokenBatch
from tunesmith.core.rollouts import Rollout, RolloutBatch, pack_rollouts, tree

LENGTHS = [[5, 2, 9, 1], [3, 3, 7, 4], [1, 6, 2, 8]]  # tokens of each answer to each of three prompts
LONGEST = 12


@dataclass
class Numbers:
    """What is known of every label of a step, in order; `logprobs` is what the model says now."""

    lengths: Sequence[Sequence[int]]
    logprobs: Tensor
    old: Tensor
    reference: Tensor
    rewards: Tensor  # (N, G)

    @property
    def flat(self) -> list[int]:
        return [length for group in self.lengths for length in group]

    def spread(self, values: Tensor | Sequence[float]) -> Tensor:
        """One number for each answer -> one for each of its labels."""
        return torch.repeat_interleave(torch.as_tensor(values).flatten(), torch.tensor(self.flat))

    def padded(self, values: Tensor) -> Tensor:
        """(L,) -> (A, longest), zero behind the end."""
        return torch.nn.utils.rnn.pad_sequence(list(values.split(self.flat)), batch_first=True)


def numbers(seed: int = 0, lengths: Sequence[Sequence[int]] = LENGTHS, moved: float = 0.3) -> Numbers:
    draw = torch.Generator().manual_seed(seed)
    count = sum(map(sum, lengths))

    def random(scale: float) -> Tensor:
        return torch.randn(count, generator=draw) * scale

    old = -random(1).abs() - 0.1
    rewards = torch.randn(len(lengths), len(lengths[0]), generator=draw)
    return Numbers(lengths, (old + random(moved)).clamp(max=-1e-3), old, old + random(0.5), rewards)


def rollouts(known: Numbers, advantage: Tensor, weight: Tensor, **more: Tensor) -> list[Rollout]:
    """`advantage`, `weight` and `more`: (L,) each."""
    zero = torch.zeros_like(known.old)
    signals = {
        "old": known.old,
        "reference": known.reference,
        "advantage": advantage,
        "weight": weight,
        "value": zero,
        "goal": zero,
    } | more
    counts = [sum(group) for group in known.lengths]
    parts = {name: values.split(counts) for name, values in signals.items()}
    token = 0
    found = []
    for row, group in enumerate(known.lengths):
        answers = []
        for length in group:
            answers.append(list(range(token + 10, token + 10 + length)))  # a token of its own for each label
            token += length
        prompt = [1, 2, 3, 4 + row]
        found.append(Rollout(tree(prompt, answers, row), tuple(group), {k: v[row] for k, v in parts.items()}))
    return found


@dataclass
class Table:
    """A model that looks up the log-probability (and value) of each label by the label itself."""

    logprobs: Tensor
    values: Tensor = field(default_factory=lambda: torch.zeros(0))

    def __call__(self, batch: TokenBatch) -> Tensor:
        return self.logprobs[self._places(batch)]

    def with_values(self, batch: TokenBatch) -> tuple[Tensor, Tensor]:
        return self.logprobs[self._places(batch)], self.values[self._places(batch)]

    def _places(self, batch: TokenBatch) -> Tensor:
        return batch.labels[batch.labels != IGNORED] - 10


def packed(known: Numbers, advantage: Tensor, weight: Tensor, **more: Tensor) -> RolloutBatch:
    return pack_rollouts(rollouts(known, advantage, weight, **more))


def cuts(batch: RolloutBatch) -> list[RolloutBatch]:
    """-> the same rollouts in the smallest passes there are."""
    halves = batch.halves()
    return [batch] if halves is None else [part for half in halves for part in cuts(half)]
