"""Pictures that are (nearly) the same: the signs of their slow waves, then their colours.

Zauner 2010, "Implementation and benchmarking of perceptual image hash functions" (the hash from a cosine transform).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

_EDGE, _WAVES = 32, 8
_COLOURS = 8  # the edge of the square of colours that are compared
# Tried on drawings that differ in a detail (emoji) and on changed copies of them: copies in JPEG, of half the size or a
# little darker are all found, most with a narrow border cut off; two signs more, and chains of different drawings form.
_SIGNS = 6  # of 64 that may differ
_COLOUR = 0.06  # of the mean brightness: how far the colours may be apart, on average
_ROWS = 256

_STEPS = np.arange(_EDGE)
_COSINES = np.cos(np.pi * _STEPS[:_WAVES, None] * (2 * _STEPS + 1) / (2 * _EDGE))  # (8, 32)


@dataclass(frozen=True, slots=True)
class Likeness:
    """What is compared of a picture."""

    waves: int  # 64 signs
    colours: bytes  # 8 x 8 x RGB


def likeness(image: Image.Image) -> Likeness:
    """-> of an RGB picture."""
    grey = np.asarray(image.convert("L").resize((_EDGE, _EDGE), Image.Resampling.BOX), dtype=np.float64)
    waves = (_COSINES @ grey @ _COSINES.T).ravel()
    signs = waves > np.median(waves[1:])
    small = image.resize((_COLOURS, _COLOURS), Image.Resampling.BOX)
    return Likeness(int.from_bytes(np.packbits(signs).tobytes(), "big"), small.tobytes())


def groups(pictures: Sequence[Likeness]) -> list[int]:
    """-> for each picture the number of its group: those of one group are alike, directly or over others."""
    group = np.arange(len(pictures))
    if len(pictures) < 2:
        return group.tolist()
    waves = np.array([picture.waves for picture in pictures], dtype=np.uint64)
    colours = np.stack([np.frombuffer(picture.colours, dtype=np.uint8) for picture in pictures]).astype(np.float32)
    colours /= colours.mean(axis=1, keepdims=True) + 1  # one picture, darker, stays itself
    for start in range(0, len(pictures), _ROWS):
        apart = np.bitwise_count(waves[start : start + _ROWS, None] ^ waves[None])
        for a, b in np.argwhere(apart <= _SIGNS):
            first, second = group[start + a], group[b]
            if first != second and np.abs(colours[start + a] - colours[b]).mean() <= _COLOUR:
                group[group == max(first, second)] = min(first, second)
    return group.tolist()
