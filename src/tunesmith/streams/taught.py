"""Examples into passes that a teacher has read, some of them with an answer that the student has just written.

On-policy distillation (Agarwal 2023, GKD, 2306.13649): no gradient goes through the drawing. Whether a row is answered
anew, and how, depends on the weights, the seed, the step and the row, and on nothing else, as in `streams.rollouts`.

Shapes: L labels, l some of them, V vocabulary, K tokens that are kept.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tunesmith.core.batch import Example, TokenBatch, pack
from tunesmith.core.distributions import DistributionBatch
from tunesmith.core.errors import UserError
from tunesmith.streams.rollouts import Write, seed_of
from tunesmith.streams.tokens import fitted

Ask = Callable[[TokenBatch], tuple[Tensor, Tensor]]
"""-> (L, K), (L, K): the tokens that are kept at each label, and what the teacher says of them."""
DRAW = 1  # of a row in a step: whether it is answered anew; 0 is the answer


@dataclass(frozen=True, slots=True)
class Own:
    """Answers of the student's own."""

    write: Write
    share: float  # of the rows of a step
    seed: int

    def __call__(self, examples: Sequence[Example], step: int) -> tuple[list[Example], dict[str, float]]:
        """-> the examples, some with another last answer; and what to log."""
        chosen = [i for i, one in enumerate(examples) if self._draws(one.row, step)]
        prompts = [prompt_of(examples[i]) for i in chosen]
        seeds = [seed_of(self.seed, step, examples[i].row, 0) for i in chosen]
        written = self.write(prompts, seeds)
        made = list(examples)
        for i, prompt, one in zip(chosen, prompts, written, strict=True):
            answer = list(one.tokens)
            trained = [False] * len(prompt) + [True] * len(answer)
            made[i] = Example([*prompt, *answer], trained, examples[i].row)
        told = {"sampled": len(chosen) / len(examples)}
        if chosen:
            told["answer_length"] = sum(len(one.tokens) for one in written) / len(chosen)
            told["ended"] = sum(one.ended for one in written) / len(chosen)
        return made, told

    def _draws(self, row: int, step: int) -> bool:
        return seed_of(self.seed, step, row, DRAW) < self.share * 2.0**63


@dataclass(frozen=True, slots=True)
class Taught:
    """A feed (`streams.stream.Feed`). What is judged, not learned from, are the rows as they are."""

    ask: Ask
    tokens_per_pass: int
    share: bool  # a beginning that all examples of a pass have in common is computed once
    own: Own | None = None

    def __call__(self, examples: Sequence[Example], step: int | None) -> list[DistributionBatch]:
        told: dict[str, float] = {}
        if self.own is not None and step is not None:
            examples, told = self.own(examples, step)
        packs = [pack(group, share=self.share) for group in fitted(examples, self.tokens_per_pass)]
        return [DistributionBatch(one, *self.ask(one), told=tuple(told.items())) for one in packs]


def prompt_of(example: Example) -> list[int]:
    """-> what stands before the last answer. Raises UserError for a row that has nothing there."""
    start = len(example) - list(example.trained)[::-1].index(True) - 1
    while start and example.trained[start - 1]:
        start -= 1
    if not start:
        raise UserError(
            f"row {example.row}: objective.sampled wants a question whose answer the base can write, and all of this "
            "row is learned; remove objective.sampled, or give rows with a prompt"
        )
    return list(example.tokens[:start])


def teachers(said: Iterable[Tensor], count: int) -> tuple[Tensor, Tensor]:
    """(l, V), ... -> (L, K), (L, K): what the teacher finds likeliest, and its log-probabilities."""
    parts = [logs.topk(min(count, logs.shape[1]), 1) for logs in said]
    return torch.cat([part.indices for part in parts]), torch.cat([part.values for part in parts])


def both(said: Iterable[Tensor], own: Iterable[Tensor], count: int) -> tuple[Tensor, Tensor]:
    """The same, of what teacher and student together find likeliest."""
    choices, logprobs = [], []
    for teacher, student in zip(said, own, strict=True):
        kept = (teacher.exp() + student.exp()).topk(min(count, teacher.shape[1]), 1).indices
        choices.append(kept)
        logprobs.append(teacher.gather(1, kept))
    return torch.cat(choices), torch.cat(logprobs)
