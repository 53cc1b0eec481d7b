"""Prompts into rollouts: answers of the policy as it is now, what they are worth, and what their tokens deserve.

One sampling serves `updates` steps. It depends on the weights, the seed, the step and the row, and on nothing else: the
same row gets the same answers whatever stands beside it. Where answers to a prompt are all worth the same, another
prompt may take its place (dynamic sampling, Yu 2025, DAPO, 2503.14476).

Shapes: L labels, the tokens of all answers of a pass.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from tunesmith.core.answers import Asked
from tunesmith.core.batch import TokenBatch, pack
from tunesmith.core.errors import RunFailed
from tunesmith.core.order import step_indices
from tunesmith.core.rollouts import Rollout, RolloutBatch, pack_rollouts, tree
from tunesmith.streams import kept
from tunesmith.streams.credit import Answered, Groups, give_credit, tells
from tunesmith.streams.signs import Signs
from tunesmith.streams.tokens import fitted

LARGEST_GAP = 0.2  # nats a token between what the sampler says of its own tokens and what the trainer says


class Written(Protocol):
    """An answer as the generator writes it."""

    @property
    def tokens(self) -> Sequence[int]: ...
    @property
    def logprobs(self) -> Sequence[float]: ...
    @property
    def ended(self) -> bool: ...


class Worth(Protocol):
    """What answers are worth, by term and in all."""

    @property
    def total(self) -> Sequence[float]: ...
    @property
    def terms(self) -> Mapping[str, Sequence[float]]: ...


Write = Callable[[Sequence[Sequence[int]], Sequence[int]], Sequence[Written]]
"""Prompts and a seed for each -> an answer to each, drawn from the policy as it is."""
Judge = Callable[[Sequence[Asked], Sequence[Sequence[int]]], Worth]
"""Prompts and the tokens of an answer to each -> what the answers are worth."""
Read = Callable[[TokenBatch], tuple[Tensor, Tensor, Tensor]]
"""-> (L,) three times: what policy and reference say of each label, and what is expected of the state before it."""


@dataclass
class Rollouts:
    """A feed (`streams.stream.Feed`): prompts and the number of the step -> passes."""

    objective: Any
    write: Write
    judge: Judge
    read: Read
    tokens_per_pass: int
    seed: int
    folder: Path | None = None
    """Where samplings are kept that serve several steps."""
    resumable: Callable[[], Sequence[int]] = tuple
    """-> the steps that a run could go on from."""
    others: Sequence[Asked] = ()
    """Prompts that may come in the place of those whose answers are all worth the same."""
    signs: Signs = field(default_factory=Signs)
    _last: tuple[int, list[RolloutBatch]] | None = None

    def __call__(self, prompts: Sequence[Asked], step: int | None) -> list[RolloutBatch]:
        """-> passes to learn from. `prompts` are looked at only where `step` begins a sampling."""
        assert step is not None, "prompts are judged by their rewards, not by a loss"
        updates = self.objective.updates
        first = step - step % updates
        if self._last is not None and self._last[0] == first:
            return self._last[1]
        if step != first:
            assert self.folder is not None, "a sampling that is gone cannot be read"
            batches = kept.read(self.folder, first)
        else:
            batches = self._sampled(prompts, step)
            if self.folder is not None and updates > 1:
                kept.keep(self.folder, first, batches, self.resumable(), updates)
        self._last = first, batches
        return batches

    def _sampled(self, prompts: Sequence[Asked], step: int) -> list[RolloutBatch]:
        chosen, drawn = self._redrawn(prompts, step, self._drawn(prompts, step))
        groups = [group for _, group in chosen]
        seen = self.seen([prompt for prompt, _ in chosen], groups)
        gap = refuse_gap([answer for group in groups for answer in group])
        told = self.signs.of(drawn.groups, drawn.terms) | {"sampler_gap": gap}
        if self.objective.most_redraws:
            told["redrawn"] = len(drawn.groups) / len(prompts) - 1
        return [pack_rollouts([part.rollout() for part in some], told) for some in seen]

    def seen(self, prompts: Sequence[Asked], groups: Groups) -> list[list["_Part"]]:
        """-> what each pass will hold, after policy and reference have read it and every token has its credit."""
        passes = fitted(_parts(prompts, groups, self.tokens_per_pass), self.tokens_per_pass)
        for parts in passes:
            self._see(parts)
        give_credit(self.objective, groups)
        return passes

    def _drawn(self, prompts: Sequence[Asked], step: int) -> "_Drawn":
        count = self.objective.answers
        asked = [prompt for prompt in prompts for _ in range(count)]
        seeds = [seed_of(self.seed, step, prompt.row, k) for prompt in prompts for k in range(count)]
        written = self.write([prompt.tokens for prompt in asked], seeds)
        worth = self.judge(asked, [answer.tokens for answer in written])
        every = [
            Answered(list(one.tokens), torch.tensor(one.logprobs, dtype=torch.float32), one.ended, reward)
            for one, reward in zip(written, worth.total, strict=True)
        ]
        return _Drawn([every[at : at + count] for at in range(0, len(every), count)], worth.terms)

    def _redrawn(
        self, prompts: Sequence[Asked], step: int, first: "_Drawn"
    ) -> tuple[list[tuple[Asked, list[Answered]]], "_Drawn"]:
        """-> prompts with answers that teach something, as far as some were found; and all that was drawn."""
        chosen, every = list(zip(prompts, first.groups, strict=True)), first
        spare = self._spare(prompts, step)
        for _ in range(self.objective.most_redraws):
            places = [i for i, (_, group) in enumerate(chosen) if not tells(group)]
            more = list(islice(spare, len(places)))
            if not more:
                break
            drawn = self._drawn(more, step)
            every = every.with_more(drawn)
            for place, prompt, group in zip(places, more, drawn.groups, strict=False):
                if tells(group):
                    chosen[place] = prompt, group
        return chosen, every

    def _spare(self, prompts: Sequence[Asked], step: int) -> Iterator[Asked]:
        """-> other prompts, each once, in an order of this step's own."""
        known = {prompt.row for prompt in prompts}
        for place in step_indices(self.seed + 1, len(self.others), len(self.others) or 1, step):
            if self.others[place].row not in known:
                yield self.others[place]

    def _see(self, parts: Sequence["_Part"]) -> None:
        """Ask policy and reference, in the very packing that is learned from: the first update has ratios of one."""
        found = self.read(pack([part.tree for part in parts], share=True))
        answers = [answer for part in parts for answer in part.answers]
        lengths = [len(answer.tokens) for answer in answers]
        split = [values.float().cpu().split(lengths) for values in found]
        for answer, old, reference, value in zip(answers, *split, strict=True):
            answer.old, answer.reference, answer.value = old, reference, value


@dataclass(frozen=True, slots=True)
class _Drawn:
    """The answers to each of some prompts, and by term what they are worth."""

    groups: list[list[Answered]]
    terms: Mapping[str, Sequence[float]]

    def with_more(self, other: "_Drawn") -> "_Drawn":
        terms = {name: [*values, *other.terms[name]] for name, values in self.terms.items()}
        return _Drawn([*self.groups, *other.groups], terms)


@dataclass(frozen=True, slots=True)
class _Part:
    """A prompt with some of its answers: as many as fit a pass."""

    tree: Any
    answers: Sequence[Answered]

    def __len__(self) -> int:
        return len(self.tree)

    def rollout(self) -> Rollout:
        signals = {
            name: torch.cat([getattr(answer, name) for answer in self.answers])
            for name in ("advantage", "old", "reference", "weight", "value", "goal")
        }
        return Rollout(self.tree, tuple(len(answer.tokens) for answer in self.answers), signals)


def _parts(prompts: Sequence[Asked], groups: Groups, limit: int) -> list[_Part]:
    """-> trees of at most `limit` tokens, or of one longer answer."""
    found = []
    for prompt, group in zip(prompts, groups, strict=True):
        some: list[Answered] = []
        size = len(prompt.tokens) - 1
        for answer in group:
            if some and size + len(answer.tokens) + 1 > limit:
                found.append(_part(prompt, some))
                some, size = [], len(prompt.tokens) - 1
            some.append(answer)
            size += len(answer.tokens) + 1
        found.append(_part(prompt, some))
    return found


def _part(prompt: Asked, answers: Sequence[Answered]) -> _Part:
    return _Part(tree(prompt.tokens, [answer.tokens for answer in answers], prompt.row), answers)


def seed_of(seed: int, step: int, row: int, answer: int) -> int:
    """-> below 2**63: another one for each answer to each row at each step."""
    return int(np.random.SeedSequence([seed, step, row, answer]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def refuse_gap(answers: Sequence[Answered]) -> float:
    """-> how far sampler and trainer are apart, in nats a token. Raises RunFailed where they are two models."""
    apart = torch.cat([(answer.old - answer.sampler).abs() for answer in answers])
    gap = float(apart.mean())
    if not gap <= LARGEST_GAP:
        raise RunFailed(
            f"the answers were not drawn from the model that is trained: what the sampler says of its own tokens is "
            f"{gap:.2g} nats a token away from what the trainer says (at most {LARGEST_GAP} is rounding); "
            "train with train.precision=float32, and report this base"
        )
    return gap
