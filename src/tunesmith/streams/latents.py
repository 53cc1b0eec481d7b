"""Pictures with noise: which variant, which noise and which level, a pure function of seed, step and picture.

All that is random about a picture is drawn here; what is left in the objective is the formula.

Shapes: B pictures, C channels, H and W of a latent, K levels.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from tunesmith.core.latents import LatentBatch, Prompts, stacked


class Schedule(Protocol):
    """What is known of the noise; `models.diffusion.noise` has it."""

    @property
    def kind(self) -> str: ...

    def times(self, places: Tensor, size: int) -> Tensor: ...
    def mixed(self, pictures: Tensor, noise: Tensor, times: Tensor) -> Tensor: ...
    def targets(self, pictures: Tensor, noise: Tensor, times: Tensor) -> Tensor: ...
    def snr(self, times: Tensor) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class Latent:
    """One variant of one picture in the space of the autoencoder, and its caption: they come together or not at all."""

    mean: Tensor  # (C, H, W)
    deviation: Tensor  # (C, H, W)
    caption: str
    mask: Tensor | None  # (1, H, W)
    sizes: tuple[int, ...]  # 6 numbers, for families that ask
    row: int
    key: str  # sha256 of the picture

    def drawn(self, generator: torch.Generator) -> Tensor:
        return self.mean + self.deviation * torch.randn(self.mean.shape, generator=generator)


@dataclass(frozen=True, slots=True)
class Noising:
    """How noise is put on pictures."""

    schedule: Schedule
    seed: int
    weighting: str = "none"
    gamma: float = 5.0
    offset: float = 0.0
    draw: str = "uniform"  # how noise levels are spread: uniform or logit-normal

    def placed(self, level: Tensor) -> Tensor:
        """A number of [0, 1), evenly spread -> one that is spread as levels are drawn.

        logit-normal (https://arxiv.org/abs/2403.03206): sigmoid(n), n of the normal distribution: most in the middle.
        """
        if self.draw == "uniform":
            return level
        return torch.special.ndtri(level.double().clamp(1e-6, 1 - 1e-6)).sigmoid().to(level.dtype)

    def noise(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """(C, H, W)"""
        noise = torch.randn(like.shape, generator=generator)
        if self.offset:
            noise = noise + self.offset * torch.randn(like.shape[0], 1, 1, generator=generator)
        return noise

    def weights(self, times: Tensor) -> Tensor:
        """(B,) -> (B,)"""
        kind = self.schedule.kind
        if self.weighting == "none" or kind == "flow":
            return torch.ones(len(times))
        snr = self.schedule.snr(times)
        if self.weighting == "debiased":
            return 1 / (snr + 1) if kind == "v_prediction" else 1 / snr.clamp(1e-3, 1e3).sqrt()
        if kind == "v_prediction":  # of SNR + 1: pure noise, where the background is decided, counts in full
            return (snr + 1).clamp(max=self.gamma) / (snr + 1)
        least = snr.clamp(max=self.gamma)
        return least if kind == "sample" else least / snr


def generator_of(*key: object) -> torch.Generator:
    """-> a stream of random numbers that belongs to `key`, and to nothing else."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def levels(seed: int, step: int, count: int) -> Tensor:
    """-> (B,) in [0, 1): the noise levels of a step, one from each of `count` equal parts, in random order.

    Spread evenly they are less noisy an estimate of the same mean than drawn one by one.
    """
    generator = generator_of("levels", seed, step)
    parts = torch.randperm(count, generator=generator)
    return (parts + torch.rand(count, generator=generator)) / count


Told = Callable[[Sequence[str]], Prompts]


def noised(
    latent: Latent, told: Told, noising: Noising, place: Tensor, generator: torch.Generator, caption: str | None = None
) -> LatentBatch:
    """-> one picture with noise of the level `place`, ()."""
    picture = latent.drawn(generator)[None]
    noise = noising.noise(latent.mean, generator)[None]
    times = noising.schedule.times(noising.placed(place)[None], latent.mean[0].numel())
    prompts = told([latent.caption if caption is None else caption])
    return LatentBatch(
        noising.schedule.mixed(picture, noise, times),
        times,
        noising.schedule.targets(picture, noise, times),
        noising.weights(times),
        None if latent.mask is None else latent.mask[None],
        Prompts(prompts.ids, prompts.context, prompts.pooled, torch.tensor([latent.sizes], dtype=torch.float32)),
        (True,),
        (latent.row,),
    )


def judged(latent: Latent, told: Told, noising: Noising, count: int) -> list[LatentBatch]:
    """-> the same picture at the middle of each of `count` levels, with noise that never changes; no weights."""
    plain = Noising(noising.schedule, 0)
    return [
        noised(latent, told, plain, torch.tensor((level + 0.5) / count), generator_of("judged", latent.key, level))
        for level in range(count)
    ]


def in_passes(batches: Sequence[LatentBatch], most: int | None) -> list[LatentBatch]:
    """-> the same pictures, those of one shape together, at most `most` places of a latent in a pass."""
    shapes: dict[tuple[Any, ...], list[LatentBatch]] = {}
    for batch in batches:
        shapes.setdefault((*batch.noisy.shape[1:], batch.masks is None), []).append(batch)
    passes = []
    for same in shapes.values():
        each = max(1, (most or 1 << 62) // same[0].size)
        passes += [stacked(same[start : start + each]) for start in range(0, len(same), each)]
    return passes
