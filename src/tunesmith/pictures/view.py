"""A picture as the network sees it: one variant of its crop, mirroring, background and caption, all from one call.

Pixels and caption come together or not at all, so that no picture can meet the caption of another one.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from tunesmith.core.errors import UserError
from tunesmith.pictures.config import Pictures
from tunesmith.pictures.read import colour_of, over, read_mask, read_picture

if TYPE_CHECKING:
    from tunesmith.pictures.prepare import Picture

_VERSION = 1  # of the way a view is made; a change of it makes kept latents stale


@dataclass(frozen=True, slots=True)
class View:
    """What is learned from."""

    pixels: Tensor  # (3, H, W), float32, -1 to 1
    mask: Tensor | None  # (1, H, W), float32, 0 to 1
    original: tuple[int, int]  # height, width of the whole picture
    corner: tuple[int, int]  # top, left of the crop, in the picture scaled to cover `target` (and mirrored)
    target: tuple[int, int]  # H, W
    caption: str


@dataclass(frozen=True, slots=True)
class _Cut:
    """A rectangle in a picture that was scaled to cover a bucket."""

    scaled: tuple[int, int]  # height, width
    top: int
    left: int
    mirrored: bool


def view(picture: "Picture", variant: int, config: Pictures, seed: int) -> View:
    """-> one variant of a picture. Variant 0 is its middle, not mirrored, with the caption as it is written.

    Equal arguments give equal bytes. UserError when the file is no longer the one that was prepared.
    """
    opened = read_picture(picture.path)
    if opened.sha256 != picture.sha256:
        raise UserError(f"{picture.path}: changed since it was first read; begin a new run")
    random = torch.Generator().manual_seed(int(key(picture, variant, config, seed)[:15], 16))
    cut = _cut(picture, variant, config, random)
    image = over(opened.image, _background(variant, config, random))
    pixels = np.asarray(_taken(image, cut, picture.bucket), dtype=np.float32) / 127.5 - 1  # (H, W, 3)
    mask = None
    if picture.mask is not None:
        whole = read_mask(picture.mask, opened.image.size)
        mask = np.asarray(_taken(whole, cut, picture.bucket), dtype=np.float32)[None] / 255
    return View(
        torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))),
        None if mask is None else torch.from_numpy(mask),
        (picture.height, picture.width),
        (cut.top, cut.left),
        picture.bucket,
        _caption(picture.caption, variant, config, random),
    )


def key(picture: "Picture", variant: int, config: Pictures, seed: int) -> str:
    """-> the sha256 of all that decides a view: latents are kept under it."""
    kept = (config.crop, config.flip, config.background, config.shuffle_captions, config.keep_tags)
    about = (picture.sha256, picture.mask_sha256, picture.caption, picture.bucket, variant, seed)
    return hashlib.sha256(json.dumps([_VERSION, *about, *kept]).encode()).hexdigest()


def _cut(picture: "Picture", variant: int, config: Pictures, random: torch.Generator) -> _Cut:
    (height, width), (high, wide) = (picture.height, picture.width), picture.bucket
    scale = max(high / height, wide / width)
    scaled = max(high, round(height * scale)), max(wide, round(width * scale))
    slack = scaled[0] - high, scaled[1] - wide
    down, right, mirror = torch.rand(3, generator=random).tolist()  # always drawn: a setting moves no other draw
    top, left = slack[0] // 2, slack[1] // 2
    if variant and config.crop == "random":
        top, left = int(down * (slack[0] + 1)), int(right * (slack[1] + 1))
    return _Cut(scaled, top, left, bool(variant) and config.flip and mirror < 0.5)


def _taken(image: Image.Image, cut: _Cut, shape: tuple[int, int]) -> Image.Image:
    """-> the part `cut` in the pixels of `shape`, read straight from the whole: the scaled picture is never made."""
    high, wide = shape
    left = cut.scaled[1] - wide - cut.left if cut.mirrored else cut.left
    across, down = image.width / cut.scaled[1], image.height / cut.scaled[0]
    box = (
        left * across,
        cut.top * down,
        min((left + wide) * across, image.width),
        min((cut.top + high) * down, image.height),
    )
    part = image.resize((wide, high), Image.Resampling.LANCZOS, box=box)
    return ImageOps.mirror(part) if cut.mirrored else part


def _background(variant: int, config: Pictures, random: torch.Generator) -> tuple[int, int, int]:
    red, green, blue = torch.randint(0, 256, (3,), generator=random).tolist()
    if config.background != "random":
        return colour_of(config.background)
    return (red, green, blue) if variant else colour_of("white")


def _caption(caption: str, variant: int, config: Pictures, random: torch.Generator) -> str:
    if not config.shuffle_captions or variant == 0:
        return caption
    tags = [tag.strip() for tag in caption.split(",") if tag.strip()]
    first, rest = tags[: config.keep_tags], tags[config.keep_tags :]
    order = torch.randperm(len(rest), generator=random).tolist()
    return ", ".join([*first, *(rest[place] for place in order)])
