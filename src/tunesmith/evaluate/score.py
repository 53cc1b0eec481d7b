"""From a language model to numbers per item: how likely it finds each answer, and which of some answers most likely.

Shapes: T tokens of a packed row, L labelled ones.
"""

from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from tunesmith.core.answers import Answers, owners, tree
from tunesmith.core.batch import IGNORED, Example, TokenBatch, pack
from tunesmith.core.protocols import LanguageModel

CPU = torch.device("cpu")


class MultipleChoice(Protocol):
    """A prompt and the answers that may follow it, as tokens. The prompt has at least one."""

    @property
    def prompt(self) -> list[int]: ...

    @property
    def choices(self) -> list[list[int]]: ...


@dataclass(frozen=True, slots=True)
class Choice:
    """Which answer is the most likely as a whole: the sum of its tokens' log-probabilities, not their mean."""

    predicted: int  # its place among the choices; the first of equals
    scores: tuple[float, ...]  # a sum for each choice, in nats


def score_examples(
    model: LanguageModel, examples: Sequence[Example], tokens_per_pass: int, device: torch.device = CPU
) -> list[tuple[float, int]]:
    """-> for each example the sum of -log p over its trained tokens, and how many those are.

    A pass holds at most `tokens_per_pass` tokens, but at least one example.
    """
    found: list[tuple[float, int]] = [(0.0, 0)] * len(examples)
    for places, batch, logprobs in _passes(model, examples, tokens_per_pass, device):
        owner = _owners(batch, torch.arange(len(places)))[batch.labels != IGNORED]
        sums = torch.zeros(len(places), dtype=torch.float64).index_add_(0, owner, logprobs)
        counts = torch.bincount(owner, minlength=len(places))
        for place, total, count in zip(places, sums.tolist(), counts.tolist(), strict=True):
            found[place] = (0.0 - total, count)
    return found


def score_tokens(
    scores: LanguageModel, examples: Sequence[Example], tokens_per_pass: int, device: torch.device = CPU
) -> list[tuple[float, int, int]]:
    """As `score_examples`, and how many of an example's trained tokens were the most likely ones.

    `scores(batch)` gives (L, 2): the log-probability of each label, and 1 where no token is more likely.
    """
    found: list[tuple[float, int, int]] = [(0.0, 0, 0)] * len(examples)
    for places, batch, both in _passes(scores, examples, tokens_per_pass, device):
        owner = _owners(batch, torch.arange(len(places)))[batch.labels != IGNORED]
        sums = torch.zeros(len(places), 2, dtype=torch.float64).index_add_(0, owner, both)
        counts = torch.bincount(owner, minlength=len(places))
        for place, (total, right), count in zip(places, sums.tolist(), counts.tolist(), strict=True):
            found[place] = (0.0 - total, count, int(right))
    return found


def score_each(
    scores: LanguageModel, examples: Sequence[Example], tokens_per_pass: int, device: torch.device = CPU
) -> list[list[tuple[float, bool]]]:
    """-> for each trained token of each example its log-probability, and whether no token is more likely.

    `scores` as in `score_tokens`.
    """
    found: list[list[tuple[float, bool]]] = [[] for _ in examples]
    for places, batch, both in _passes(scores, examples, tokens_per_pass, device):
        owner = _owners(batch, torch.arange(len(places)))[batch.labels != IGNORED]
        for place, (logprob, right) in zip(owner.tolist(), both.tolist(), strict=True):
            found[places[place]].append((logprob, bool(right)))
    return found


def classify(
    model: LanguageModel, items: Sequence[MultipleChoice], tokens_per_pass: int, device: torch.device = CPU
) -> list[Choice]:
    """-> the most likely of each item's choices. A prompt is read once, whatever the number of its choices."""
    trees = [_tree(item, row) for row, item in enumerate(items)]
    scores = score_answers(model, trees, tokens_per_pass, device)
    return [Choice(said.index(max(said)), said) for said in scores]


def score_answers(
    model: LanguageModel, trees: Sequence[Answers], tokens_per_pass: int, device: torch.device = CPU
) -> list[tuple[float, ...]]:
    """-> for each tree the log-probability of each of its answers, summed over the answer's tokens."""
    found: list[tuple[float, ...]] = [()] * len(trees)
    for places, batch, logprobs in _passes(model, trees, tokens_per_pass, device):
        counts = [trees[place].count for place in places]
        sums = torch.zeros(sum(counts), dtype=torch.float64).index_add_(0, owners(batch, counts), logprobs)
        for place, scores in zip(places, sums.split(counts), strict=True):
            found[place] = tuple(scores.tolist())
    return found


def _owners(batch: TokenBatch, owners: Tensor) -> Tensor:
    """(N,) -> (T,): the number of its example for each token; a shared beginning, without labels, has the first."""
    lengths = list(batch.lengths)
    lengths[0] += batch.shared
    return torch.repeat_interleave(owners, torch.tensor(lengths))


def _tree(item: MultipleChoice, row: int) -> Answers:
    assert item.prompt and item.choices and all(item.choices), "a choice needs a prompt and answers that are not empty"
    before = [False] * len(item.prompt)
    return tree([Example([*item.prompt, *c], [*before, *[True] * len(c)], row) for c in item.choices])


def _passes(
    model: LanguageModel, examples: Sequence[Example], tokens_per_pass: int, device: torch.device
) -> Iterator[tuple[list[int], TokenBatch, Tensor]]:
    """-> the places of the examples of a pass, the pass, and (L,) its log-probabilities in float64, on the CPU."""
    for places in grouped(examples, tokens_per_pass):
        batch = pack([examples[place] for place in places], share=True)
        if batch.units:
            with torch.no_grad():
                logprobs = model(batch.to(device)).double().cpu()
            yield places, batch, logprobs


def grouped(examples: Sequence[Sized], tokens_per_pass: int) -> Iterator[list[int]]:
    """-> the places of the examples of each pass: longest first, so that one that does not fit is the first."""
    group: list[int] = []
    held = 0
    for place in sorted(range(len(examples)), key=lambda i: -len(examples[i])):
        if group and held + len(examples[place]) > tokens_per_pass:
            yield group
            group, held = [], 0
        group.append(place)
        held += len(examples[place])
    if group:
        yield group
