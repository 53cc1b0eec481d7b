"""A caption from slots: `a 3d emoji of a cat face, pet, small, on the left, on a blue background`."""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, slots=True)
class Slots:
    """What a picture shows. An empty slot is not spoken of."""

    name: str
    style: str = ""
    tags: tuple[str, ...] = ()
    size: str = ""
    place: str = ""
    background: str = ""
    second: str = ""  # another thing, on the right of the first


def caption(slots: Slots) -> str:
    things = with_article(slots.name)
    if slots.second:
        things = f"{things} on the left and {with_article(slots.second)} on the right"
    head = f"a {slots.style} emoji of {things}" if slots.style else things
    background = f"on {with_article(f'{slots.background} background')}" if slots.background else ""
    return ", ".join(part for part in (head, *slots.tags, slots.size, slots.place, background) if part)


def with_article(name: str) -> str:
    head = name.split(" with ")[0].split(" of ")[0]
    if head.endswith("s") and not head.endswith(("ss", "us")):
        return name
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def vary(slots: Slots, rng: np.random.Generator) -> Slots:
    """The same picture, with less or other words: a third without style, at most two tags, `cat` for `cat face`."""
    count = int(rng.choice(3, p=(0.6, 0.25, 0.15)))
    tags = [slots.tags[i] for i in rng.permutation(len(slots.tags))[:count]]
    short = slots.name.removesuffix(" face")
    silent_white = slots.background == "white" and rng.random() < 0.6
    return replace(
        slots,
        name=short if rng.random() < 0.4 else slots.name,
        style=slots.style if rng.random() < 0.67 else "",
        tags=tuple(tags),
        background="" if silent_white else slots.background,
    )
