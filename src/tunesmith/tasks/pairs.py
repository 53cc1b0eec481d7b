"""Answers of which one is better. Measured by how often a model finds the better one likelier, and by how much."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from tunesmith.core.answers import Answers
from tunesmith.evaluate.before_after import Outcome
from tunesmith.evaluate.score import score_answers
from tunesmith.models.language import Packed
from tunesmith.streams.answers import no_reference, pair_feed, pass_limit
from tunesmith.streams.stream import Feed
from tunesmith.tasks.task import Refer, Scorer, Task

if TYPE_CHECKING:
    from tunesmith.evidence import Questions
    from tunesmith.opening import Opened


def _feed(opened: "Opened", model: Packed, refer: Refer) -> Feed:
    trees: list[Answers] = [*opened.shown, *opened.prepared.validation]  # type: ignore[list-item]
    reference = refer(trees) if opened.recipe.objective.refers else no_reference
    rows: list[Answers] = opened.prepared.train  # type: ignore[assignment]
    return pair_feed(reference, pass_limit(rows, opened.recipe.train.batch_size, opened.tokens_per_pass))


def sizes(questions: "Questions") -> list[int]:
    return list(map(len, questions.examples))


def _outcomes(
    model: Scorer, questions: "Questions", places: Sequence[int], tokens_per_pass: int, device: torch.device
) -> list[Outcome]:
    trees: list[Answers] = [questions.examples[place] for place in places]  # type: ignore[misc]
    scores = score_answers(model, trees, tokens_per_pass, device)
    return [_outcome(tree, said) for tree, said in zip(trees, scores, strict=True)]


def _outcome(tree: Answers, scores: Sequence[float]) -> Outcome:
    """The likelihood is that of the best answer."""
    best = next(a for a in range(tree.count) if a not in {b for _, b in tree.better})
    apart = [scores[a] - scores[b] for a, b in tree.better]
    right = sum(gap > 0 for gap in apart) / len(apart)
    return Outcome(tree.row, 0.0 - scores[best], tree.lengths[best], preference=(right, sum(apart) / len(apart)))


TASK = Task(_feed, sizes, _outcomes)
