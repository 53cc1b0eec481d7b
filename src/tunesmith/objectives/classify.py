"""Classification: a score for each class, and the right one made the largest.

- w_y log softmax(z)_y        z: the scores of a text, y: its class

label smoothing e   the wanted distribution is (1 - e) at y, and e spread evenly over all classes
                    (https://arxiv.org/abs/1512.00567, section 7)
balanced            w_y = N / (C n_y), so that each class weighs the same whatever the number n_y of its rows

Shapes: N examples, C classes.
"""

from typing import ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field

from tunesmith.core.loss import Loss
from tunesmith.core.protocols import Eats, Ending, LanguageModel
from tunesmith.core.targets import TargetBatch
from tunesmith.objectives.objective import ScoringConfig


class Classify(ScoringConfig):
    """Learn the label of each text, by a new head over the base."""

    eats: ClassVar[Eats] = "targets"
    ending: ClassVar[Ending] = "classes"
    kind: Literal["classify"] = "classify"

    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """The share of certainty that is spread over all labels. It makes a classifier less sure of itself."""
    weights: Literal["none", "balanced"] = "none"
    """balanced: rows of rare labels count more, so that each label counts the same."""

    @property
    def mixes(self) -> str | None:
        return "balanced weights follow how many rows each label has" if self.weights == "balanced" else None

    def __call__(self, model: LanguageModel, batch: TargetBatch) -> Loss:
        scores = model(batch.packed)  # (N, C)
        wanted = batch.targets.long()
        each = F.cross_entropy(scores, wanted, reduction="none", label_smoothing=self.label_smoothing)
        right = (scores.detach().argmax(-1) == wanted).float()
        return Loss((batch.weights * each).sum(), {"accuracy": right.sum()})
