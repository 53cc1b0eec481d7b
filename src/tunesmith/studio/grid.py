"""Pictures as PNG files: single ones and grids, with what made them in the metadata."""

import io
from collections.abc import Mapping

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

GAP = 2  # pixels


def grid(pictures: np.ndarray, *, columns: int) -> np.ndarray:
    """(N, H, W, 3) -> one picture, row by row, with white gaps; the last row may be short."""
    count, height, width, channels = pictures.shape
    rows = -(-count // columns)
    whole = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels), 255, dtype=np.uint8)
    for place, picture in enumerate(pictures):
        top, left = (place // columns) * (height + GAP), (place % columns) * (width + GAP)
        whole[top : top + height, left : left + width] = picture
    return whole


def as_png(picture: np.ndarray, about: Mapping[str, str] | None = None) -> bytes:
    """(H, W, 3), uint8 -> a PNG file; `about` goes into its text chunks."""
    info = PngInfo()
    for key, value in (about or {}).items():
        info.add_itxt(key, value)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", pnginfo=info)
    return buffer.getvalue()
