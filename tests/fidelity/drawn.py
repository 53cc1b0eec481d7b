"""Drawn stand-ins for a subject, others of its class, and an encoder that needs no weights."""

import numpy as np
from PIL import Image, ImageDraw

EDGE = 64


def face(
    colour: str, seed: int, *, side: int = 56, at: tuple[int, int] | None = None, behind: str = "white"
) -> np.ndarray:
    """A round face with ears and a mood; its colour is who it is."""
    left, top = at or ((EDGE - side) // 2, (EDGE - side) // 2)
    image = Image.new("RGB", (EDGE, EDGE), behind)
    draw = ImageDraw.Draw(image)
    draw.ellipse((left, top + side // 6, left + side, top + side), fill=colour)
    for ear in (left + 2, left + side - side // 3 - 2):
        draw.polygon([(ear, top + side // 2), (ear + side // 6, top), (ear + side // 3, top + side // 2)], fill=colour)
    mouth = 2 + 3 * seed % 7
    middle = left + side // 2
    draw.ellipse(
        (middle - side // 6, top + 2 * side // 3, middle + side // 6, top + 2 * side // 3 + mouth), fill="black"
    )
    return np.asarray(image)


def coarse(pictures: np.ndarray) -> np.ndarray:
    """(N, H, W, 3) -> (N, D) of length 1: eight by eight squares of colour, less the mean grey."""
    count, high, wide = pictures.shape[:3]
    squares = pictures.reshape(count, 8, high // 8, 8, wide // 8, 3).mean((2, 4)).reshape(count, -1) / 255 - 0.7
    return squares / np.linalg.norm(squares, axis=1, keepdims=True)
