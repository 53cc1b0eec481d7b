"""Direct preference optimisation: the better answer becomes likelier against the reference, by a logistic loss.

h = beta ((log pi(c) - log ref(c)) - (log pi(r) - log ref(r)))

sigmoid   -log s(h)                                     Rafailov et al. 2023, https://arxiv.org/abs/2305.18290
          -(1 - e) log s(h) - e log s(-h)               e: the share of pairs thought to be swapped (section 3.1 of
                                                        https://ericmitchell.ai/cdpo.pdf)
robust    (-(1 - e) log s(h) + e log s(-h)) / (1 - 2e)  the same without bias, https://arxiv.org/abs/2403.00409
hinge     max(0, 1 - h)                                 SLiC, https://arxiv.org/abs/2305.10425
"""

from collections.abc import Callable
from typing import ClassVar, Literal

from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import logsigmoid

from tunesmith.core.answers import PairBatch
from tunesmith.core.loss import Loss
from tunesmith.core.protocols import Eats, LanguageModel
from tunesmith.objectives.compared import of_pairs, told
from tunesmith.objectives.objective import ObjectiveConfig

Formula = Callable[[Tensor, float], Tensor]
FORMULAS: dict[str, Formula] = {
    "sigmoid": lambda h, e: -(1 - e) * logsigmoid(h) - e * logsigmoid(-h),
    "robust": lambda h, e: (-(1 - e) * logsigmoid(h) + e * logsigmoid(-h)) / (1 - 2 * e),
    "hinge": lambda h, e: (1 - h).relu(),
}
"""(P,) of h, and e -> (P,)."""


class DPO(ObjectiveConfig):
    """Prefer the chosen answer of each pair, against what the base would say (DPO)."""

    eats: ClassVar[Eats] = "pairs"
    refers: ClassVar[bool] = True
    rate: ClassVar[float] = 0.1
    kind: Literal["dpo"] = "dpo"

    beta: float = Field(0.1, gt=0)
    """How dear it is to leave the base: small values let the model move far."""
    formula: Literal["sigmoid", "robust", "hinge"] = "sigmoid"
    """The loss of a pair: logistic; the same without the bias of swapped pairs; or a hinge."""
    label_smoothing: float = Field(0.0, ge=0, lt=0.5)
    """The share of pairs that are thought to be the wrong way round (sigmoid and robust)."""

    @model_validator(mode="after")
    def _acts(self) -> "DPO":
        if self.formula == "hinge" and self.label_smoothing:
            raise ValueError("label_smoothing: the hinge has none; take sigmoid or robust, or remove it")
        if self.formula == "robust" and not self.label_smoothing:
            raise ValueError("label_smoothing: robust needs the share of swapped pairs, for example 0.1")
        return self

    def __call__(self, model: LanguageModel, batch: PairBatch) -> Loss:
        gain = self.beta * (batch.sums(model(batch.packed)) - batch.reference)
        chosen, rejected = of_pairs(gain, batch)
        return Loss(FORMULAS[self.formula](chosen - rejected, self.label_smoothing).sum(), told(chosen, rejected))
