"""Pictures for tests: coloured shapes that are alike only when they are meant to be."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


def drawn(number: int, size: tuple[int, int] = (48, 40)) -> Image.Image:
    """-> a picture of (width, height) that differs from those of other numbers in shapes and colours."""
    random = np.random.default_rng(number)
    image = Image.new("RGB", size, tuple(random.integers(0, 256, 3).tolist()))
    pen = ImageDraw.Draw(image)
    for _ in range(6):
        x, y = random.integers(0, size[0]), random.integers(0, size[1])
        reach = random.integers(4, max(size) // 2)
        box = (int(x - reach), int(y - reach), int(x + reach), int(y + reach))
        pen.ellipse(box, fill=tuple(random.integers(0, 256, 3).tolist()))
    return image


def folder_of(path: Path, count: int, *, captions: bool = True, size: tuple[int, int] = (48, 40)) -> Path:
    """-> a folder of pictures 0.png, 1.png, ... and what is said of each, in words that no other has."""
    path.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        drawn(number, size).save(path / f"{number}.png")
        if captions:
            (path / f"{number}.txt").write_text(f"thing, number {number}, round", encoding="utf-8")
    return path
