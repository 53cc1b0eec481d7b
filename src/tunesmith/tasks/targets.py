"""Texts with a class or a value each, scored by a head. Measured by what it says of each text, and how sure it is.

Shapes: R texts of a pass, C scores.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tunesmith.core.batch import Example, pack
from tunesmith.core.headed import Scale
from tunesmith.core.targets import Target, pack_targets, scale_of
from tunesmith.evaluate.before_after import Outcome
from tunesmith.evaluate.score import grouped
from tunesmith.models.language import Packed
from tunesmith.objectives.classify import Classify
from tunesmith.streams.stream import Feed
from tunesmith.streams.tokens import fitted
from tunesmith.tasks.pairs import sizes
from tunesmith.tasks.task import Refer, Scorer, Task

if TYPE_CHECKING:
    from tunesmith.evidence import Questions
    from tunesmith.opening import Opened


def _feed(opened: "Opened", model: Packed, refer: Refer) -> Feed:
    """Values in standard units of the training rows; classes with what a row of each weighs."""
    assert opened.head is not None
    objective, scale = opened.recipe.objective, opened.head.scale
    balanced = isinstance(objective, Classify) and objective.weights == "balanced"
    counts = Counter(_target(example).target for example in opened.prepared.train) if balanced else Counter()
    share = not getattr(opened.recipe.method, "dropout", 0)

    def ready(example: Example) -> Target:
        given = _target(example)
        # A label that no training row has weighs as much as one that a single row has.
        weight = counts.total() / (len(counts) * max(counts[given.target], 1)) if counts else 1.0
        return replace(given, target=(given.target - scale.mean) / scale.deviation, weight=weight)

    def passes(examples: Sequence[Example], step: int | None) -> list[object]:
        made = [ready(example) for example in examples]
        return [pack_targets(group, share=share) for group in fitted(made, opened.tokens_per_pass)]

    return passes  # type: ignore[return-value]


def _target(example: Example) -> Target:
    assert isinstance(example, Target)
    return example


def _outcomes(
    model: Scorer, questions: "Questions", places: Sequence[int], tokens_per_pass: int, device: torch.device
) -> list[Outcome]:
    labels = questions.prepared.labels
    scale = Scale() if labels else scale_of(questions.prepared.train)
    examples = [questions.examples[place] for place in places]
    scores = score_texts(model, examples, tokens_per_pass, device)
    return [_outcome(_target(example), said, labels, scale) for example, said in zip(examples, scores, strict=True)]


def _outcome(example: Target, scores: Tensor, labels: Sequence[str], scale: Scale) -> Outcome:
    """(C,). The likelihood is that of the right label; of a value there is none."""
    if not labels:
        value = scale.mean + scale.deviation * float(scores[0])
        return Outcome(example.row, 0.0, 0, value=(value, example.target))
    logs = scores.double().log_softmax(-1)
    gold = int(example.target)
    said = labels[int(logs.argmax())]
    return Outcome(example.row, -float(logs[gold]), 1, said, labels[gold], probabilities=tuple(logs.exp().tolist()))


def score_texts(model: Scorer, examples: Sequence[Example], tokens_per_pass: int, device: torch.device) -> list[Tensor]:
    """-> (C,) on the CPU for each example, float32."""
    found: list[Tensor] = [torch.empty(0)] * len(examples)
    for group in grouped(examples, tokens_per_pass):
        batch = pack([examples[place] for place in group], share=True)
        with torch.no_grad():
            scores = model(batch.to(device)).cpu()  # (R, C)
        for place, said in zip(group, scores, strict=True):
            found[place] = said
    return found


TASK = Task(_feed, sizes, _outcomes)
