"""Denoising: say what noise was added to a latent (https://arxiv.org/abs/2006.11239), or the velocity, or the flow.

loss = w(t) mean (f(x_t, t, prompt) - target)^2        w(t): how much each noise level counts, set in the stream

min-SNR: w = min(SNR, g) / SNR for epsilon, of SNR + 1 for v (https://arxiv.org/abs/2303.09556).
Debiased: w = 1 / sqrt(SNR) for epsilon, 1 / (SNR + 1) for v (https://arxiv.org/abs/2310.08442).
Logit-normal draw of levels and shift, for flows: https://arxiv.org/abs/2403.03206.
Huber: 2 c (sqrt(d^2 + c^2) - c), less moved by single places that are far off (https://arxiv.org/abs/2403.16728).

Shapes: B pictures, C channels, H and W of a latent.
"""

from typing import Literal

from pydantic import Field, model_validator
from torch import Tensor, nn

from tunesmith.core.latents import LatentBatch
from tunesmith.core.loss import Loss
from tunesmith.core.word import Word
from tunesmith.objectives.painting import Painting


class Denoise(Painting):
    """Learn the pictures of a folder."""

    kind: Literal["denoise"] = "denoise"
    weighting: Literal["min-snr", "debiased", "none"] = "min-snr"
    """How much each noise level counts. min-snr converges some three times as fast; flows take none of them."""
    gamma: float = Field(5.0, gt=0)
    """min-snr: the signal-to-noise ratio beyond which a level counts less."""
    loss: Literal["mse", "huber"] = "mse"
    """The distance between what the denoiser says and what it should."""
    huber_c: float = Field(0.1, gt=0)
    """huber: where the distance turns from square to straight."""
    token: str | None = Field(None, min_length=1)
    """A new word, such as `<zwx>`, whose rows in the tables of the encoders learn beside the method: pivotal tuning
    (https://arxiv.org/abs/2106.05744); with method=token nothing else does. Captions must say it."""
    init: str | None = Field(None, min_length=1)
    """token: the known word whose meaning it begins with, such as cat."""
    vectors: int = Field(1, ge=1, le=32)
    """token: how many rows it has. More say more, and take as much room of the prompt."""
    token_rate: float = Field(5.0, gt=0, le=1000)
    """token: how many times the learning rate its rows get beside another method."""

    @model_validator(mode="after")
    def _all_read(self) -> "Denoise":
        if self.given("gamma") and self.weighting != "min-snr":
            raise ValueError(f"gamma: read by weighting=min-snr, not by {self.weighting}; remove it")
        if self.given("huber_c") and self.loss != "huber":
            raise ValueError("huber_c: read by loss=huber; remove it")
        return self

    @model_validator(mode="after")
    def _word_can_be_said(self) -> "Denoise":
        if self.token is None:
            if unread := next((name for name in ("init", "vectors", "token_rate") if self.given(name)), None):
                raise ValueError(f"{unread}: read by token; name one, or remove it")
            return self
        if self.init is None:
            raise ValueError("init: a new word begins with the meaning of a known one; name it, for example init=cat")
        if any(letter.isspace() for letter in self.token) or self.token != self.token.lower():
            raise ValueError(f"token: `{self.token}` must be small letters without white space, for example <zwx>")
        return self

    @property
    def word(self) -> Word | None:
        return None if self.token is None or self.init is None else Word(self.token, self.init, self.vectors)

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
