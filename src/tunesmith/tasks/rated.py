"""Answers each of which is wanted or not. Measured by how likely a model finds those of either kind."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from tunesmith.core.answers import Answers
from tunesmith.evaluate.before_after import Outcome
from tunesmith.evaluate.score import score_answers
from tunesmith.models.language import Packed
from tunesmith.streams.answers import Scores, rated_feed, strangers
from tunesmith.streams.stream import Feed
from tunesmith.tasks.pairs import sizes
from tunesmith.tasks.task import Refer, Scorer, Task

if TYPE_CHECKING:
    from tunesmith.evidence import Questions
    from tunesmith.opening import Opened


def _feed(opened: "Opened", model: Packed, refer: Refer) -> Feed:
    parts: list[list[Answers]] = [opened.shown, opened.prepared.validation]  # type: ignore[list-item]
    foreign: dict[int, Answers] = {}
    for part in parts:
        foreign |= strangers(part, opened.base.context)
    reference = refer([*parts[0], *parts[1], *foreign.values()])

    def policy(trees: Sequence[Answers]) -> list[Scores]:
        training = model.learning
        model.eval()
        scores = score_answers(model, trees, opened.tokens_per_pass, opened.device)
        model.train(training)
        return scores

    return rated_feed(reference, foreign, policy, opened.tokens_per_pass)


def _outcomes(
    model: Scorer, questions: "Questions", places: Sequence[int], tokens_per_pass: int, device: torch.device
) -> list[Outcome]:
    """One for each answer."""
    trees: list[Answers] = [questions.examples[place] for place in places]  # type: ignore[misc]
    scores = score_answers(model, trees, tokens_per_pass, device)
    return [
        Outcome(tree.row, 0.0 - score, tree.lengths[k], wanted=tree.wanted[k])
        for tree, said in zip(trees, scores, strict=True)
        for k, score in enumerate(said)
    ]


TASK = Task(_feed, sizes, _outcomes)
