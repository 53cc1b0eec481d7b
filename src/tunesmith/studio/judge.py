"""The validation loss of pictures: noise that never changes, at levels spread evenly, so that curves can be compared.

It is not weighted: the mean over levels and pictures of the squared error, in what the base was made to say. The class
of a subject is watched the same way: how far the answers to its prompt have moved from the base's (`drift`).

Shapes: K levels, N pictures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor

from tunesmith.core.latents import LatentBatch
from tunesmith.models.diffusion.denoiser import Denoiser
from tunesmith.objectives.dreambooth import DreamBooth
from tunesmith.pictures.prepare import Picture
from tunesmith.streams.latents import in_passes, judged
from tunesmith.studio.feed import PictureFeed
from tunesmith.studio.opening import Opened

LEVELS = 8


class Fed(Protocol):
    """Whatever feeds a run."""

    @property
    def opened(self) -> Opened: ...


@dataclass
class Judge:
    """What is asked of a model, always the same."""

    feed: PictureFeed
    pictures: Sequence[Picture]
    _batches: list[LatentBatch] = field(default_factory=list)
    _class: list[LatentBatch] = field(default_factory=list)
    _before: Tensor | None = None

    def losses(self, model: Denoiser) -> Tensor:
        """-> (N, K)"""
        if not self._batches:
            for picture in self.pictures:
                latent = self.feed.store.latent(picture, 0)
                self._batches += judged(latent, self.feed.teller, self.feed.judging, LEVELS)
        said = answers(model, self._batches, self.feed)
        wanted = [batch.targets[0] for batch in self._batches]
        each = [((a - b) ** 2).mean() for a, b in zip(said, wanted, strict=True)]
        return torch.stack(each).view(-1, LEVELS)

    def __call__(self, model: Denoiser) -> Mapping[str, float]:
        """-> the mean, its standard error over pictures, and the mean at each level."""
        found = self.losses(model)
        values = {"loss": float(found.mean())}
        if len(found) > 1:
            values["loss_error"] = float(found.mean(1).std() / len(found) ** 0.5)
        values |= {f"loss_level_{k + 1}": float(found[:, k].mean()) for k in range(LEVELS)}
        drift = self.drift(model)
        return values if drift is None else values | {"drift": drift}

    def scores(self, model: Denoiser) -> tuple[dict[str, list[float]], Tensor]:
        """-> by the name of the metric a number for each picture; and the mean loss at each level, (K,)."""
        losses = self.losses(model)
        return {"denoising_loss": losses.mean(1).tolist()}, losses.mean(0)

    def drift(self, model: Denoiser) -> float | None:
        """-> mean squared distance of the answers to the class prompt from the base's; None where there is no class."""
        objective = self.feed.opened.objective
        if not isinstance(objective, DreamBooth) or objective.class_prompt is None:
            return None
        if not self._class:
            latent = self.feed.store.latent((self.pictures or self.feed.opened.prepared.train)[0], 0)
            self._class = judged(
                replace(latent, caption=objective.class_prompt), self.feed.teller, self.feed.judging, LEVELS
            )
        if self._before is None:
            with self.feed.base() as base:
                self._before = torch.stack(answers(base, self._class, self.feed))
        return float(((torch.stack(answers(model, self._class, self.feed)) - self._before) ** 2).mean())


@torch.no_grad()
def answers(model: Denoiser, batches: Sequence[LatentBatch], feed: Fed) -> list[Tensor]:
    """-> (C, H, W) for each batch of one picture, in their order."""
    opened = feed.opened
    places = {id(batch): place for place, batch in enumerate(batches)}
    found: dict[int, Tensor] = {}
    shapes: dict[tuple[int, ...], list[LatentBatch]] = {}
    for batch in batches:
        shapes.setdefault(tuple(batch.noisy.shape[1:]), []).append(batch)
    for same in shapes.values():
        each = max(1, (opened.recipe.train.tokens_per_pass or 1 << 62) // same[0].size)
        for start in range(0, len(same), each):
            group = same[start : start + each]
            (joined,) = in_passes(group, None)
            for batch, said in zip(group, model(joined.to(opened.device)).cpu(), strict=True):
                found[places[id(batch)]] = said
    return [found[place] for place in range(len(batches))]
