"""Seven made-up emoji in two styles, as a store that trains in seconds."""

from pathlib import Path

import numpy as np

from scripts.emoji_base.drawings import SIDE, Emoji
from scripts.emoji_base.networks import TINY
from scripts.emoji_base.store import Store

NAMES = ("cat face", "apple", "socks", "red car", "old tree", "star", "owl")


def drawings() -> tuple[list[Emoji], np.ndarray]:
    """Each a filled disc of its own colour on nothing."""
    every = [
        Emoji(f"{0x1F600 + i:x}", name, "Objects", (f"tag {i}", "thing"), style)
        for style in ("3d", "flat")
        for i, name in enumerate(NAMES)
    ]
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    pictures = np.zeros((len(every), SIDE, SIDE, 4), np.uint8)
    for i in range(len(every)):
        pictures[i][np.hypot(x, y) < SIDE / 2 - 2] = (17 * i, 255 - 17 * i, 128, 255)
    return every, pictures


def store(folder: Path) -> Store:
    made = Store(folder, TINY, seed=0)
    made.keep(*drawings())
    return made
