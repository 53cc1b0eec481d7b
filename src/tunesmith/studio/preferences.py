"""Pairs of pictures as the passes of a step, and as what judges a model: both at the same noise, the base beside.

Shapes: N pairs, K levels.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tunesmith.core.latent_pairs import LatentPairs
from tunesmith.core.latents import LatentBatch, squared_errors, stacked
from tunesmith.models.diffusion.denoiser import Denoiser
from tunesmith.objectives.diffusion_dpo import DiffusionDPO
from tunesmith.pictures.prepare import Picture
from tunesmith.streams.latents import Noising, generator_of, levels, noised
from tunesmith.studio.judge import LEVELS
from tunesmith.studio.opening import Opened
from tunesmith.studio.store import Store
from tunesmith.studio.told import Teller

Pair = tuple[LatentBatch, LatentBatch]  # of one picture each, the better one first


@dataclass
class PairFeed:
    """A pure function of the step, and of the base."""

    opened: Opened
    store: Store
    teller: Teller
    variants: int
    base: Callable[[], AbstractContextManager[Denoiser]]

    def __post_init__(self) -> None:
        opened, offset = self.opened, self.opened.objective.noise_offset
        self.noising = Noising(opened.noise, opened.recipe.train.seed, offset=offset, draw=opened.timesteps)
        self.judging = Noising(opened.own_noise, 0)  # of validation: the same whatever the objective draws

    def __call__(self, pictures: Sequence[Picture], step: int | None) -> list[LatentPairs]:
        assert step is not None, "validation has noise of its own"
        seed, dropout = self.noising.seed, self.opened.recipe.pictures.caption_dropout
        made = []
        for place, (picture, level) in enumerate(zip(pictures, levels(seed, step, len(pictures)), strict=True)):
            generator = generator_of("pair", seed, step, place, picture.sha256)
            variant = int(torch.randint(self.variants, (), generator=generator))
            silent = float(torch.rand((), generator=generator)) < dropout
            noise = ("noise of a pair", seed, step, place, picture.sha256)
            made.append(self._noised(picture, variant, level, noise, "" if silent else None))
        return self.referred(made)

    def judged(self, picture: Picture) -> list[Pair]:
        """-> the pair at the middle of each level, with noise that never changes."""
        worse = self.opened.prepared.rejected[picture.row].sha256
        keys = [("judged pair", picture.sha256, worse, level) for level in range(LEVELS)]
        places = [torch.tensor((level + 0.5) / LEVELS) for level in range(LEVELS)]
        return [
            self._noised(picture, 0, place, key, None, self.judging) for place, key in zip(places, keys, strict=True)
        ]

    def _noised(
        self,
        picture: Picture,
        variant: int,
        level: Tensor,
        key: tuple[object, ...],
        said: str | None,
        noising: Noising | None = None,
    ) -> Pair:
        """-> both pictures of a pair. The same numbers are drawn for both."""
        both = [self.store.latent(one, variant) for one in (picture, self.opened.prepared.rejected[picture.row])]
        caption = both[0].caption if said is None else said
        how = noising or self.noising
        better, worse = (noised(one, self.teller, how, level, generator_of(*key), caption) for one in both)
        return better, worse

    def referred(self, pairs: Sequence[Pair]) -> list[LatentPairs]:
        """-> pairs of one shape together, with the base's errors; not more places of a latent than pass at once."""
        most = self.opened.recipe.train.tokens_per_pass
        shapes: dict[tuple[int, ...], list[Pair]] = {}
        for pair in pairs:
            shapes.setdefault(tuple(pair[0].noisy.shape[1:]), []).append(pair)
        passes = []
        for same in shapes.values():
            each = max(1, (most or 1 << 62) // (2 * same[0][0].size))
            cuts = [same[start : start + each] for start in range(0, len(same), each)]
            passes += [stacked([one for pair in cut for one in pair]) for cut in cuts]
        with self.base() as base, torch.no_grad():
            return [LatentPairs(batch, self._errors(base, batch)) for batch in passes]

    def _errors(self, base: Denoiser, batch: LatentBatch) -> Tensor:
        here = batch.to(self.opened.device)
        return squared_errors(base(here), here.targets).cpu()


@dataclass
class PairJudge:
    """How well a model tells the better picture of held-out pairs, against the base."""

    feed: PairFeed
    pictures: Sequence[Picture]
    _batches: list[LatentPairs] = field(default_factory=list)

    def __call__(self, model: Denoiser) -> Mapping[str, float]:
        """-> the mean loss, its standard error over pairs, how often and by how much the better one gains more."""
        losses, gains = self._asked(model)
        values = {"loss": float(losses.mean()), "accuracy": float(_right(gains).mean()), "margin": float(gains.mean())}
        if len(losses) > 1:
            values["loss_error"] = float(losses.mean(1).std() / len(losses) ** 0.5)
        return values

    def scores(self, model: Denoiser) -> tuple[dict[str, list[float]], Tensor]:
        """-> by the name of the metric a number for each pair; and the mean loss at each level, (K,)."""
        losses, gains = self._asked(model)
        right = _right(gains).mean(1).tolist()
        return {"picture_preference": right, "picture_preference_loss": losses.mean(1).tolist()}, losses.mean(0)

    def drift(self, model: Denoiser) -> float | None:
        """There is no class whose prompt is watched."""
        return None

    @torch.no_grad()
    def _asked(self, model: Denoiser) -> tuple[Tensor, Tensor]:
        """-> the loss, and by how much the better one gains more, (N, K) each."""
        opened = self.feed.opened
        objective = opened.objective
        assert isinstance(objective, DiffusionDPO)
        if not self._batches:
            for picture in self.pictures:
                for pair in self.feed.judged(picture):
                    self._batches += self.feed.referred([pair])
        said = [objective(model, batch.to(opened.device)) for batch in self._batches]
        losses, gains = (
            [float(one) for one in values]
            for values in zip(*((s.total, s.metrics["margin"]) for s in said), strict=True)
        )
        return torch.tensor(losses).view(-1, LEVELS), torch.tensor(gains).view(-1, LEVELS)


def _right(gains: Tensor) -> Tensor:
    return (gains > 0).float() + 0.5 * (gains == 0).float()
