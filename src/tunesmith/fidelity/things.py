"""The thing in front of a plain background: where it stands, how large it is, and the same cut out on white.

A background is plain where most of the frame of the picture lies near one colour that may get darker from top to
bottom. A photograph has none: nothing is cut out of it, and nothing is said of places and sizes.

Shapes: H and W of a picture, P pixels of its frame.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

NEAR = 40.0  # of 441, the distance of black and white: what is nearer to the background belongs to it
PLAIN = 0.6  # of the frame must be near
FRAME = 2  # pixels at each edge
SPECK = 0.01  # of the picture: smaller parts are noise
_MARGIN = 0.06  # of the edge, around what was cut out


@dataclass(frozen=True, slots=True)
class Thing:
    """What stands in front."""

    mask: np.ndarray  # (H, W)
    background: np.ndarray  # (3,), the mean colour behind it
    box: tuple[int, int, int, int]  # top, left, bottom, right

    @property
    def middle(self) -> tuple[float, float]:
        """Down and across, each a share of the edge; 0.5 is the middle of the picture."""
        top, left, bottom, right = self.box
        return (top + bottom) / 2 / self.mask.shape[0], (left + right) / 2 / self.mask.shape[1]

    @property
    def side(self) -> float:
        """The longer side of its box, a share of the edge."""
        top, left, bottom, right = self.box
        return max((bottom - top) / self.mask.shape[0], (right - left) / self.mask.shape[1])


def thing(picture: np.ndarray) -> Thing | None:
    """(H, W, 3), uint8 -> what stands before a plain background; None where there is none, or nothing before it."""
    pixels = picture.astype(float)
    behind = _background(pixels)
    if behind is None:
        return None
    mask = np.linalg.norm(pixels - behind, axis=-1) > NEAR
    parts, count = ndimage.label(ndimage.binary_fill_holes(mask))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    large = [part for part in range(1, count + 1) if sizes[part] >= SPECK * mask.size]
    if not large:
        return None
    mask = np.isin(parts, large)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = (int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    return Thing(mask, behind.mean((0, 1)), box)


def cut_out(picture: np.ndarray) -> np.ndarray:
    """-> the thing alone on white, as large as the picture holds it; the picture itself where none can be cut out.

    So that two pictures of one thing are alike whatever is behind it, however small it is, and wherever it stands.
    """
    found = thing(picture)
    if found is None:
        return picture
    top, left, bottom, right = found.box
    alone = np.where(found.mask[..., None], picture, 255).astype(np.uint8)[top:bottom, left:right]
    room = round((1 - 2 * _MARGIN) * min(picture.shape[:2]))
    scale = room / max(alone.shape[:2])
    shape = max(1, round(alone.shape[1] * scale)), max(1, round(alone.shape[0] * scale))
    whole = Image.new("RGB", (picture.shape[1], picture.shape[0]), "white")
    place = (whole.width - shape[0]) // 2, (whole.height - shape[1]) // 2
    whole.paste(Image.fromarray(alone).resize(shape, Image.Resampling.LANCZOS), place)
    return np.asarray(whole)


def _background(pixels: np.ndarray) -> np.ndarray | None:
    """-> (H, W, 3): the colour of the frame, a straight line from top to bottom, fitted to what is near to it."""
    high, wide = pixels.shape[:2]
    frame = np.ones((high, wide), bool)
    frame[FRAME:-FRAME, FRAME:-FRAME] = False
    colours = pixels[frame]  # (P, 3)
    down = np.nonzero(frame)[0] / high
    terms = np.stack([np.ones_like(down), down], 1)  # (P, 2)
    line = np.stack([np.median(colours, axis=0), np.zeros(3)])
    for _ in range(4):
        near = np.linalg.norm(colours - terms @ line, axis=1) <= NEAR
        if near.mean() < PLAIN:
            return None
        line = np.linalg.lstsq(terms[near], colours[near], rcond=None)[0]
    rows = np.arange(high) / high
    return np.broadcast_to((line[0] + rows[:, None] * line[1])[:, None], pixels.shape)
