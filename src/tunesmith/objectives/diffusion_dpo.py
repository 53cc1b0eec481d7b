"""Diffusion DPO: of two pictures of one caption, denoise the better one better, measured against the base.

h = b / 2 ((ref(c) - own(c)) - (ref(r) - own(r)))        own(x) = mean (f(x_t, t, prompt) - target)^2, ref: the base's
loss = -log s(h)                                         https://arxiv.org/abs/2311.12908, equation 14

Both pictures have the same noise at the same level. b stands for the paper's beta T w(l_t), with the weight of all
levels equal; as in the code that its authors published, halved, and over means instead of sums.
"""

from typing import ClassVar, Literal

from pydantic import Field
from torch import nn
from torch.nn.functional import logsigmoid

from tunesmith.core.latent_pairs import LatentPairs
from tunesmith.core.latents import squared_errors
from tunesmith.core.loss import Loss
from tunesmith.objectives.compared import told
from tunesmith.objectives.painting import Painting


class DiffusionDPO(Painting):
    """Prefer the chosen picture of each pair, against what the base would make of both."""

    refers: ClassVar[bool] = True
    rate: ClassVar[float] = 0.05
    kind: Literal["diffusion-dpo"] = "diffusion-dpo"

    beta: float = Field(5000.0, gt=0)
    """How dear it is to leave the base. The paper takes 2000 for SD 1.5 and 5000 for SDXL."""

    def __call__(self, model: nn.Module, batch: LatentPairs) -> Loss:
        own = squared_errors(model(batch.pictures), batch.pictures.targets)  # (B,)
        gain = self.beta / 2 * (batch.reference - own)
        chosen, rejected = gain[0::2], gain[1::2]
        return Loss(-logsigmoid(chosen - rejected).sum(), told(chosen, rejected))
