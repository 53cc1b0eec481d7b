"""Answers that a policy has sampled, with what was found out about every token of them.

A prompt with its answers is one tree: the prompt is the trunk, each answer a branch, so that the prompt is computed
once. Everything else is a number for each label, in the order of the packed row; the stream has set it, and what is
left to an objective is a formula.

Shapes: T tokens of a packed row, N prompts, A answers, L labels: the tokens of all answers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tunesmith.core import answers as trees
from tunesmith.core.batch import Batch, Example, TokenBatch, pack

SIGNALS = ("advantage", "old", "reference", "weight", "value", "goal")


@dataclass(frozen=True, slots=True)
class Rollout:
    """One prompt with its answers, and (l,) numbers for their tokens, answer after answer."""

    tree: Example
    answers: tuple[int, ...]  # the number of tokens of each, at least one
    signals: Mapping[str, Tensor]  # by the names of SIGNALS

    def __len__(self) -> int:
        return len(self.tree)


@dataclass(frozen=True, slots=True)
class RolloutBatch(Batch):
    """Prompts with their answers in one packed row."""

    packed: TokenBatch
    owner: Tensor  # (L,), the answer that a label belongs to, 0 .. A - 1, in order
    advantage: Tensor  # (L,), how much better than expected
    old: Tensor  # (L,), its log-probability under the policy that sampled it
    reference: Tensor  # (L,), the same under the base
    weight: Tensor  # (L,), how much it counts in the mean over the labels of a step
    value: Tensor  # (L,), what was expected of the state before it; zeros where nothing is
    goal: Tensor  # (L,), what should have been expected
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

    @property
    def answers(self) -> int:
        return int(self.owner[-1]) + 1

    def to(self, device: torch.device) -> "RolloutBatch":
        moved = {name: getattr(self, name).to(device, non_blocking=True) for name in (*SIGNALS, "owner")}
        return replace(self, packed=self.packed.to(device), **moved)

    def halves(self) -> tuple["RolloutBatch", "RolloutBatch"] | None:
        """Half of the prompts each; one prompt with half of its answers each."""
        cut = self.packed.halves() or _branches_cut(self.packed)
        if cut is None:
            return None
        first = cut[0].units
        return self._part(cut[0], slice(0, first)), self._part(cut[1], slice(first, None))

    def _part(self, packed: TokenBatch, labels: slice) -> "RolloutBatch":
        owner = self.owner[labels]
        signals = {name: getattr(self, name)[labels] for name in SIGNALS}
        return RolloutBatch(packed=packed, owner=owner - owner[0], told=self.told, **signals)


def _branches_cut(packed: TokenBatch) -> tuple[TokenBatch, TokenBatch] | None:
    """One tree as two with the same trunk."""
    branches = packed.branches
    assert branches is not None and len(packed.lengths) == 1
    first, last = int(branches[branches > 0].min()), int(branches.max())
    if first == last:
        return None
    middle = (first + last + 1) // 2
    kept = ((branches == 0) | (branches < middle), (branches == 0) | (branches >= middle))

    def part(keep: Tensor) -> TokenBatch:
        return replace(
            packed,
            tokens=packed.tokens[keep],
            labels=packed.labels[keep],
            positions=packed.positions[keep],
            lengths=(int(keep.sum()) - packed.shared,),
            branches=branches[keep],
        )

    return part(kept[0]), part(kept[1])


def tree(prompt: Sequence[int], answers: Sequence[Sequence[int]], row: int) -> Example:
    """-> a prompt and its answers, whose tokens are all learned."""
    assert prompt and answers and all(answers), "a tree needs a prompt and answers that are not empty"
    before = [False] * len(prompt)
    return trees.tree([Example([*prompt, *answer], [*before, *[True] * len(answer)], row) for answer in answers])


def pack_rollouts(rollouts: Sequence[Rollout], told: Mapping[str, float] | None = None) -> RolloutBatch:
    """Lay prompts with their answers one behind the other."""
    lengths = [length for rollout in rollouts for length in rollout.answers]
    signals = {name: torch.cat([rollout.signals[name] for rollout in rollouts]) for name in SIGNALS}
    batch = RolloutBatch(
        packed=pack([rollout.tree for rollout in rollouts], share=True),
        owner=torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)),
        told=tuple((told or {}).items()),
        **signals,
    )
    assert batch.units == len(batch.owner) == len(batch.weight)
    return batch
