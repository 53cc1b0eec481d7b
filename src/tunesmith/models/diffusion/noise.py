"""Noise schedules: how much of a picture is left at each step, and what the denoiser must say of it.

Diffusion (https://arxiv.org/abs/2006.11239):    x_t = a_t x + s_t e,    a_t^2 + s_t^2 = 1,    SNR = a_t^2 / s_t^2
    epsilon: e    v (https://arxiv.org/abs/2202.00512): a_t e - s_t x    sample: x
Flow (https://arxiv.org/abs/2210.02747):         x_t = (1 - t) x + t e,  and the denoiser says e - x
Shifted (https://arxiv.org/abs/2403.03206) by one number (SD 3), or by the size of the picture (FLUX).

Shapes: B pictures.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from tunesmith.core.errors import UserError

Kind = Literal["epsilon", "v_prediction", "sample", "flow"]


class Noise(Protocol):
    """A schedule."""

    @property
    def kind(self) -> Kind: ...

    @property
    def steps(self) -> int: ...

    def times(self, places: Tensor, size: int) -> Tensor:
        """(B,) numbers in [0, 1) -> (B,) times, as the denoiser is told them. `size`: the places of a latent."""
        ...

    def mixed(self, pictures: Tensor, noise: Tensor, times: Tensor) -> Tensor: ...

    def targets(self, pictures: Tensor, noise: Tensor, times: Tensor) -> Tensor: ...

    def snr(self, times: Tensor) -> Tensor: ...

    def without_noise(self, mixed: Tensor, said: Tensor, times: Tensor) -> Tensor:
        """-> the picture, as the denoiser's answer has it."""
        ...


@dataclass(frozen=True)
class Diffusion:
    """A schedule of steps, each with a share of the picture that is left."""

    kept: Tensor  # (steps,), a_t^2, float64
    kind: Kind

    @property
    def steps(self) -> int:
        return len(self.kept)

    def times(self, places: Tensor, size: int) -> Tensor:
        return (places * self.steps).long().clamp(max=self.steps - 1)

    def _factors(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """-> a_t and s_t, each (B, 1, 1, 1), float32."""
        kept = self.kept.to(times.device)[times][:, None, None, None]
        return kept.sqrt().float(), (1 - kept).sqrt().float()

    def mixed(self, pictures: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        a, s = self._factors(times)
        return a * pictures + s * noise

    def targets(self, pictures: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        if self.kind == "epsilon":
            return noise
        if self.kind == "sample":
            return pictures
        a, s = self._factors(times)
        return a * noise - s * pictures

    def snr(self, times: Tensor) -> Tensor:
        kept = self.kept.to(times.device)[times]
        return (kept / (1 - kept)).float()

    def without_noise(self, mixed: Tensor, said: Tensor, times: Tensor) -> Tensor:
        a, s = self._factors(times)
        if self.kind == "epsilon":
            return (mixed - s * said) / a
        return said if self.kind == "sample" else a * mixed - s * said


@dataclass(frozen=True)
class BySize:
    """A shift that grows with the picture, for a large one is seen through more noise: its logarithm is a straight line
    through two numbers of tokens, each of which is a square of four places."""

    tokens: tuple[int, int] = (256, 4096)
    logarithms: tuple[float, float] = (0.5, 1.15)

    def __call__(self, size: int) -> float:
        (few, many), (low, high) = self.tokens, self.logarithms
        return math.exp(low + (high - low) * (size / 4 - few) / (many - few))


@dataclass(frozen=True)
class Flow:
    """A straight way from the picture to the noise. Times are noise levels times 1000.

    level = s p / (1 + (s - 1) p)        s: the shift, for more of the training at high noise
    """

    shift: float | BySize = 1.0
    kind: Kind = "flow"

    @property
    def steps(self) -> int:
        return 1000

    def times(self, places: Tensor, size: int) -> Tensor:
        shift = self.shift(size) if isinstance(self.shift, BySize) else self.shift
        level = shift * places / (1 + (shift - 1) * places)
        return (1000 * level).clamp(min=1.0).float()

    @staticmethod
    def _level(times: Tensor) -> Tensor:
        return (times / 1000)[:, None, None, None]

    def mixed(self, pictures: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        level = self._level(times)
        return (1 - level) * pictures + level * noise

    def targets(self, pictures: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        return noise - pictures

    def snr(self, times: Tensor) -> Tensor:
        level = times / 1000
        return ((1 - level) / level) ** 2

    def without_noise(self, mixed: Tensor, said: Tensor, times: Tensor) -> Tensor:
        return mixed - self._level(times) * said


def noise_of(
    config: dict[str, Any], *, flow: bool, zero_terminal_snr: bool = False, shift: float | None = None
) -> Noise:
    """-> the schedule that `scheduler_config.json` describes. UserError for one that is not known.

    `zero_terminal_snr`: whether the last step is made pure noise, where the schedule does not say so itself
    (https://arxiv.org/abs/2305.08891). `shift`: of a flow, another than the base's own.
    """
    if flow:
        if zero_terminal_snr:
            raise UserError("objective.zero_terminal_snr: a flow ends in pure noise anyway; remove it")
        return Flow(_own_shift(config) if shift is None else shift)
    if shift is not None:
        raise UserError("objective.shift: only flows (SD 3, FLUX) have one; remove it")
    kind = config.get("prediction_type", "epsilon")
    if kind not in ("epsilon", "v_prediction", "sample"):
        raise UserError(f"scheduler_config.json: prediction_type {kind!r} is not known")
    if zero_terminal_snr and kind == "epsilon":
        raise UserError(
            "objective.zero_terminal_snr: this base predicts noise (epsilon), which says nothing of a picture where "
            "all is noise; it needs a base of v-prediction"
        )
    kept = (1 - _betas(config)).cumprod(0)
    if zero_terminal_snr or config.get("rescale_betas_zero_snr"):
        kept = _to_zero(kept)
    return Diffusion(kept, kind)


def _own_shift(config: dict[str, Any]) -> float | BySize:
    """A schedule with `use_dynamic_shifting` takes no notice of its `shift`."""
    if not config.get("use_dynamic_shifting"):
        return float(config.get("shift") or 1.0)
    usual = BySize()
    tokens = (config.get("base_image_seq_len", usual.tokens[0]), config.get("max_image_seq_len", usual.tokens[1]))
    logs = (config.get("base_shift", usual.logarithms[0]), config.get("max_shift", usual.logarithms[1]))
    return BySize((int(tokens[0]), int(tokens[1])), (float(logs[0]), float(logs[1])))


def _betas(config: dict[str, Any]) -> Tensor:
    """(steps,), float64."""
    steps, first, last = config.get("num_train_timesteps", 1000), config["beta_start"], config["beta_end"]
    match config.get("beta_schedule", "linear"):
        case "linear":
            return torch.linspace(first, last, steps, dtype=torch.float64)
        case "scaled_linear":
            return torch.linspace(first**0.5, last**0.5, steps, dtype=torch.float64) ** 2
        case "squaredcos_cap_v2":
            place = torch.arange(steps + 1, dtype=torch.float64) / steps
            kept = ((place + 0.008) / 1.008 * torch.pi / 2).cos() ** 2
            return (1 - kept[1:] / kept[:-1]).clamp(max=0.999)
        case other:
            raise UserError(f"scheduler_config.json: beta_schedule {other!r} is not known")


def _to_zero(kept: Tensor) -> Tensor:
    """-> moved and stretched so that nothing of the picture is left at the last step."""
    root = kept.sqrt()
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    return root**2
