"""Answers of which one is better, scored by a head: a reward model. Measured by how often the better one gets more."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from tunesmith.core.answers import Answers
from tunesmith.core.batch import pack
from tunesmith.evaluate.before_after import Outcome
from tunesmith.evaluate.score import grouped
from tunesmith.models.language import Packed
from tunesmith.streams.answers import no_reference, pair_feed
from tunesmith.streams.stream import Feed
from tunesmith.tasks.pairs import sizes
from tunesmith.tasks.task import Refer, Scorer, Task

if TYPE_CHECKING:
    from tunesmith.evidence import Questions
    from tunesmith.opening import Opened


def _feed(opened: "Opened", model: Packed, refer: Refer) -> Feed:
    return pair_feed(no_reference, opened.tokens_per_pass)


def _outcomes(
    model: Scorer, questions: "Questions", places: Sequence[int], tokens_per_pass: int, device: torch.device
) -> list[Outcome]:
    trees: list[Answers] = [questions.examples[place] for place in places]  # type: ignore[misc]
    rewards = score_trees(model, trees, tokens_per_pass, device)
    return [_outcome(tree, said) for tree, said in zip(trees, rewards, strict=True)]


def _outcome(tree: Answers, rewards: Sequence[float]) -> Outcome:
    apart = [rewards[a] - rewards[b] for a, b in tree.better]
    right = sum((gap > 0) + 0.5 * (gap == 0) for gap in apart) / len(apart)
    return Outcome(tree.row, 0.0, 0, preference=(right, sum(apart) / len(apart)))


def score_trees(
    model: Scorer, trees: Sequence[Answers], tokens_per_pass: int, device: torch.device
) -> list[tuple[float, ...]]:
    """-> for each tree the reward of each of its answers."""
    found: list[tuple[float, ...]] = [()] * len(trees)
    for group in grouped(trees, tokens_per_pass):
        batch = pack([trees[place] for place in group], share=True)
        with torch.no_grad():
            rewards = model(batch.to(device))[:, 0].double().cpu()  # (A,)
        for place, said in zip(group, rewards.split([trees[place].count for place in group]), strict=True):
            found[place] = tuple(said.tolist())
    return found


TASK = Task(_feed, sizes, _outcomes)
