"""Pictures of 64 x 64 pixels put together from drawings: background, size, place, sometimes two things."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from tunesmith.fidelity.slots import COLOURS, PLACES

from .captions import Slots
from .drawings import Emoji

SIDE = 64
LARGE, SMALL, BESIDE = (54, 63), (26, 36), (28, 33)  # sides in pixels: from, and below
_SHARES = {"large": 0.74, "small": 0.14, "two": 0.12}
_WHITE = 0.4


@dataclass(frozen=True, slots=True)
class Composite:
    """One picture before it is drawn: what it shows, and where each drawing goes."""

    slots: Slots
    parts: tuple[tuple[int, int, int, int], ...]  # drawing, side, left, top
    colours: tuple[tuple[int, int, int], tuple[int, int, int]]  # at the top and at the bottom

    def draw(self, drawings: np.ndarray) -> np.ndarray:
        """-> (SIDE, SIDE, 3) bytes."""
        top, bottom = (np.array(colour, float) for colour in self.colours)
        slope = np.linspace(0, 1, SIDE)[:, None, None]
        rows = np.broadcast_to(top + (bottom - top) * slope, (SIDE, SIDE, 3))
        canvas = Image.fromarray(rows.round().astype(np.uint8)).convert("RGBA")
        for index, side, left, up in self.parts:
            drawing = Image.fromarray(drawings[index]).convert("RGBa")
            small = drawing.resize((side, side), Image.Resampling.LANCZOS).convert("RGBA")
            canvas.alpha_composite(small, (left, up))
        return np.asarray(canvas.convert("RGB"))


def compose(index: int, every: list[Emoji], rng: np.random.Generator) -> Composite:
    """A composite of drawing `index`; the second thing of a pair is of the same style."""
    one = every[index]
    name, colours = _background(rng)
    kind = str(rng.choice(list(_SHARES), p=list(_SHARES.values())))
    size, place, second = "", "", ""
    if kind == "large":
        parts = (_at(index, int(rng.integers(*LARGE)), (0.5, 0.5), rng),)
    elif kind == "small":
        size = "small"
        place = str(rng.choice(["", *PLACES]))
        parts = (_at(index, int(rng.integers(*SMALL)), _ANCHORS[place], rng),)
    else:
        other = _other(index, every, rng)
        second = every[other].name
        sides = rng.integers(*BESIDE, size=2)
        parts = (_at(index, int(sides[0]), (0.02, 0.5), rng), _at(other, int(sides[1]), (0.98, 0.5), rng))
    return Composite(Slots(one.name, one.style, one.tags, size, place, name, second), parts, colours)


_ANCHORS = {
    "": (0.5, 0.5),
    "on the left": (0.05, 0.5),
    "on the right": (0.95, 0.5),
    "at the top": (0.5, 0.05),
    "at the bottom": (0.5, 0.95),
}


def _at(index: int, side: int, anchor: tuple[float, float], rng: np.random.Generator) -> tuple[int, int, int, int]:
    room = SIDE - side
    left, up = (int(np.clip(round(a * room + rng.uniform(-1.5, 1.5)), 0, room)) for a in anchor)
    return index, side, left, up


def _other(index: int, every: list[Emoji], rng: np.random.Generator) -> int:
    """Another drawing of the same style: drawings of one style stand together, so few draws suffice."""
    while True:
        other = int(rng.integers(len(every)))
        if every[other].style == every[index].style and every[other].code != every[index].code:
            return other


def _background(rng: np.random.Generator) -> tuple[str, tuple[tuple[int, int, int], tuple[int, int, int]]]:
    name = "white" if rng.random() < _WHITE else str(rng.choice(list(COLOURS)))
    base = np.array(COLOURS[name], float)
    base = base if name == "white" else base + rng.uniform(-12, 12, size=3)
    shade = base * (1 - rng.uniform(0, 0.25)) if name != "white" and rng.random() < 0.3 else base
    low, high = (tuple(int(v) for v in np.clip(colour, 0, 255).round()) for colour in (shade, base))
    return name, (high, low)
