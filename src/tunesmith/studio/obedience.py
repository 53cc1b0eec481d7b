"""Suite `prompts`: does a picture show what was asked for?

slots         the share of what a prompt says of background, place and size that pixels show; each of the three alone
              as well (`fidelity.slots`)
prompt_found  the share of pictures for which, of all prompts, the base finds their own the likeliest
              (https://arxiv.org/abs/2303.16203): under it the base's own answer to noise on the picture is the nearest
                  argmin_p  sum_t ||f(x_t, t, p) - target_t||^2
              the subject's word, which the base never learned, is the word of its class there
clip_t        the cosine of picture and prompt, by a CLIP of the user's

Shapes: N pictures, P prompts, K levels, C channels, H and W of a latent.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tunesmith.core.latents import LatentBatch
from tunesmith.evaluate.family import Gathered
from tunesmith.fidelity.slots import kept
from tunesmith.models.diffusion.denoiser import Denoiser
from tunesmith.models.diffusion.latents import encoded
from tunesmith.streams.latents import Latent, generator_of, noised
from tunesmith.studio.judge import answers
from tunesmith.studio.likeness import Asked

LEVELS = (0.35, 0.55, 0.75, 0.95)  # of noise: high ones, where it is decided what stands where


def prompts(asked: Asked) -> tuple[Gathered, dict[str, Any]]:
    """-> the metrics, and the share of kept slots by prompt."""
    family = asked.family()
    both = [list(zip(asked.pictures()[side], _each(asked), strict=True)) for side in (0, 1)]
    checks = [[kept(picture, setting.slots) for picture, setting in side] for side in both]
    spoken = [place for place, check in enumerate(checks[0]) if check]
    if spoken:
        names = [asked.prompts[place] for place in spoken]
        shares = [[float(np.mean(list(side[place].values()))) for place in spoken] for side in checks]
        family.means("slots", shares, "higher", names)
    for slot in ("background", "place", "size"):
        _slot(family, asked, checks, slot)
    _found(family, asked)
    for encoder in asked.more:
        if encoder.reads:
            said = encoder.texts([setting.twin for setting in _each(asked)])
            cosines = [(encoder(pictures) * said).sum(1).tolist() for pictures in asked.pictures()]
            family.means("clip_t", cosines, "higher", asked.prompts)
    return family, {"prompts": _table(asked, checks)}


def _each(asked: Asked) -> list[Any]:
    return [setting for setting in asked.settings for _ in range(asked.each)]


def _slot(family: Gathered, asked: Asked, checks: Sequence[Sequence[dict[str, bool]]], slot: str) -> None:
    places = [place for place, check in enumerate(checks[0]) if slot in check]
    if places:
        sides = [[float(side[place][slot]) for place in places] for side in checks]
        family.means(f"slots/{slot}", sides, "higher", [asked.prompts[place] for place in places])


def _table(asked: Asked, checks: Sequence[Sequence[dict[str, bool]]]) -> list[dict[str, Any]]:
    rows = []
    for place, setting in enumerate(asked.settings):
        some = slice(place * asked.each, (place + 1) * asked.each)
        shares = [[value for check in side[some] for value in check.values()] for side in checks]
        told = [f"{100 * np.mean(share):.0f} %" if share else "" for share in shares]
        rows.append({"": setting.prompt, **dict(zip(SHOWN, told, strict=True))})
    return rows


SHOWN = ("base", "tuned")


def _found(family: Gathered, asked: Asked) -> None:
    """Nothing where there is but one prompt to choose from."""
    twins = list(dict.fromkeys(setting.twin for setting in asked.settings))
    if len(twins) < 2:
        return
    own = [twins.index(setting.twin) for setting in _each(asked)]
    sides: list[list[float]] = []
    with asked.sides.base() as base, asked.sides.show.watch("reading the pictures", 2 * len(own), "pictures") as seen:
        for pictures in asked.pictures():
            sides.append([])
            for place, picture in enumerate(pictures):
                errors = _errors(asked, base, picture, twins, place)
                sides[-1].append(float(int(errors.argmin()) == own[place]))
                seen.read(1)
    family.means("prompt_found", sides, "higher", asked.prompts)


def _errors(asked: Asked, base: Denoiser, picture: np.ndarray, twins: Sequence[str], place: int) -> Tensor:
    """-> (P,): how far the base's answers to noise on the picture are from the truth under each prompt."""
    batches = list(_batches(asked, picture, twins, place))
    said = answers(base, batches, asked.sides.feed)
    apart = [((one - batch.targets[0]) ** 2).mean() for one, batch in zip(said, batches, strict=True)]
    return torch.stack(apart).view(len(twins), len(LEVELS)).sum(1)


def _batches(asked: Asked, picture: np.ndarray, twins: Sequence[str], place: int) -> Iterator[LatentBatch]:
    """Every prompt at every level, with the same noise for all prompts."""
    feed = asked.sides.feed
    pixels = torch.from_numpy(picture).permute(2, 0, 1).float()[None] / 127.5 - 1
    mean, deviation = (x[0] for x in encoded(feed.opened.base.vae, pixels))
    edge = picture.shape[0], picture.shape[1]
    latent = Latent(mean, 0 * deviation, "", None, (*edge, 0, 0, *edge), place, "")
    for twin in twins:
        for level in LEVELS:
            generator = generator_of("prompt", place, level)
            yield noised(replace(latent, caption=twin), feed.teller, feed.judging, torch.tensor(level), generator)
