"""Denoising: say what noise was added to a latent (https://arxiv.org/abs/2006.11239), or the velocity, or the flow.

loss = w(t) mean (f(x_t, t, prompt) - target)^2        w(t): how much each noise level counts, set in the stream

min-SNR: w = min(SNR, g) / SNR for epsilon, of SNR + 1 for v (https://arxiv.org/abs/2303.09556).
Debiased: w = 1 / sqrt(SNR) for epsilon, 1 / (SNR + 1) for v (https://arxiv.org/abs/2310.08442).
Logit-normal draw of levels and shift, for flows: https://arxiv.org/abs/2403.03206.
Huber: 2 c (sqrt(d^2 + c^2) - c), less moved by single places that are far off (https://arxiv.org/abs/2403.16728).

Shapes: B pictures, C channels, H and W of a latent.
"""

from typing import ClassVar, Literal

from pydantic import Field, model_validator
from torch import Tensor, nn

from tunesmith.core.latents import LatentBatch
from tunesmith.core.loss import Loss
from tunesmith.core.protocols import Eats, Ending
from tunesmith.objectives.objective import ObjectiveConfig


class Denoise(ObjectiveConfig):
    """Learn the pictures of a folder."""

    eats: ClassVar[Eats] = "pictures"
    ending: ClassVar[Ending] = "pictures"
    rate: ClassVar[float] = 0.5

    kind: Literal["denoise"] = "denoise"
    weighting: Literal["min-snr", "debiased", "none"] = "min-snr"
    """How much each noise level counts. min-snr converges some three times as fast; flows take none of them."""
    gamma: float = Field(5.0, gt=0)
    """min-snr: the signal-to-noise ratio beyond which a level counts less."""
    loss: Literal["mse", "huber"] = "mse"
    """The distance between what the denoiser says and what it should."""
    huber_c: float = Field(0.1, gt=0)
    """huber: where the distance turns from square to straight."""
    noise_offset: float = Field(0.0, ge=0, le=1)
    """Noise that is the same at all places of a channel, so that very dark and very bright pictures can be learned
    where the schedule never reaches pure noise. 0.05 is usual."""
    zero_terminal_snr: bool = False
    """Make the last step of the schedule pure noise. Only with a base of v-prediction."""
    timesteps: Literal["uniform", "logit-normal"] | None = None
    """How noise levels are drawn: evenly, or most of them in the middle. None: logit-normal for flows (SD 3, FLUX),
    uniform for others."""
    shift: float | None = Field(None, gt=0)
    """Flows: more of the training at high noise, the more above 1. None: the base's own, of one number (SD 3) or by the
    size of the pictures (FLUX)."""
    text_encoder: bool = False
    """Whether the encoders of the prompts learn too. It gives no lower validation loss, and forgets more."""

    @model_validator(mode="after")
    def _all_read(self) -> "Denoise":
        if self.given("gamma") and self.weighting != "min-snr":
            raise ValueError(f"gamma: read by weighting=min-snr, not by {self.weighting}; remove it")
        if self.given("huber_c") and self.loss != "huber":
            raise ValueError("huber_c: read by loss=huber; remove it")
        return self

    @property
    def mixes(self) -> str | None:
        return "it learns pictures, whose runs have no privacy yet"

    def __call__(self, model: nn.Module, batch: LatentBatch) -> Loss:
        apart = model(batch) - batch.targets  # (B, C, H, W)
        each = apart**2 if self.loss == "mse" else self._huber(apart)
        if batch.masks is not None:
            each = each * batch.masks
        losses = batch.weights * each.mean((1, 2, 3))  # (B,)
        prior = [place for place, counted in enumerate(batch.counted) if not counted]
        return Loss(losses.sum(), {"prior": losses.detach()[prior].sum()} if prior else {})

    def _huber(self, apart: Tensor) -> Tensor:
        return 2 * self.huber_c * ((apart**2 + self.huber_c**2).sqrt() - self.huber_c)
