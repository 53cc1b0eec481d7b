"""What a prompt says of a picture that pixels can prove: the colour of the background, the place and the size.

a zwx cat, small, on the left, on a blue background
"""

import re
from dataclasses import dataclass

import numpy as np

from tunesmith.fidelity.things import Thing, thing

COLOURS = {
    "white": (255, 255, 255),
    "black": (18, 18, 18),
    "grey": (140, 140, 140),
    "red": (214, 48, 49),
    "orange": (240, 140, 40),
    "yellow": (250, 215, 70),
    "green": (60, 165, 80),
    "teal": (40, 165, 165),
    "blue": (55, 110, 220),
    "purple": (135, 75, 185),
    "pink": (245, 150, 185),
    "brown": (130, 85, 50),
}
PLACES = ("on the left", "on the right", "at the top", "at the bottom")
SIZES = ("small", "large")
HALF = 0.65  # of the edge: what is less is small
AWAY = 0.08  # of the edge: what is nearer to the middle stands there
_BACKGROUND = re.compile(r"\bon an? (\w+) background\b")


@dataclass(frozen=True, slots=True)
class Slots:
    """What can be checked. An empty slot is not spoken of."""

    background: str = ""
    place: str = ""
    size: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name in ("background", "place", "size") if getattr(self, name))


def slots_of(prompt: str) -> Slots:
    """-> what a prompt says. A colour that is not one of `COLOURS` is not checked, nor is one of several places."""
    text = prompt.lower()
    colours = [found for found in _BACKGROUND.findall(text) if found in COLOURS]
    places = [place for place in PLACES if place in text]
    sizes = [size for size in SIZES if re.search(rf"\b{size}\b", text)]
    return Slots(*(found[0] if len(found) == 1 else "" for found in (colours, places, sizes)))


def kept(picture: np.ndarray, slots: Slots) -> dict[str, bool]:
    """(H, W, 3), uint8 -> for each slot that the prompt speaks of, whether the picture is so.

    Where no thing can be told from a plain background, nothing is.
    """
    found = thing(picture)
    if found is None:
        return dict.fromkeys(slots.names, False)
    seen = Slots(named(found.background), stands(found), "small" if found.side < HALF else "large")
    return {name: getattr(seen, name) == getattr(slots, name) for name in slots.names}


def named(colour: np.ndarray) -> str:
    """(3,) -> the name of the nearest of `COLOURS`."""
    return min(COLOURS, key=lambda name: float(np.linalg.norm(colour - np.array(COLOURS[name], float))))


def stands(found: Thing) -> str:
    """-> the place that it is nearest to; "" in the middle."""
    down, across = (share - 0.5 for share in found.middle)
    if max(abs(down), abs(across)) < AWAY:
        return ""
    if abs(across) >= abs(down):
        return PLACES[0] if across < 0 else PLACES[1]
    return PLACES[2] if down < 0 else PLACES[3]
