"""Emoji as RGBA pictures with names: which there are, and how they are drawn."""

import io
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from .holdout import TRAINED, is_held
from .packages import archive

SIDE = 96  # pixels of a drawing; the largest place it takes in a picture has 62
_SELECTOR = 0xFE0F


@dataclass(frozen=True, slots=True)
class Emoji:
    code: str  # hexadecimal, joined by "-", without variation selectors
    name: str
    group: str
    tags: tuple[str, ...]
    style: str

    @property
    def is_near_double(self) -> bool:
        """One of many that differ in few pixels: a person's trade, the hands of a clock, the text of a button."""
        return (self.group == "People & Body" and "200d" in self.code) or any(
            word in self.name for word in ("o'clock", "-thirty", "Japanese '")
        )

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def emoji(packages: Path, style: str) -> Iterator[tuple[Emoji, Image.Image]]:
    """Every emoji of a style but flags and skin tones, drawn, in the order of Unicode."""
    keywords = archive(packages, "keywords").json("annotations/en/annotations.json")["annotations"]["annotations"]
    for character, entry in archive(packages, "names").json("data-by-emoji.json").items():
        picture = None if entry["group"] == "Flags" else _draw(packages, style, character)
        if picture is not None:
            found = keywords.get(character.replace(chr(_SELECTOR), ""), {})
            tags = tuple(_plain(tag) for tag in found.get("default", ()) if tag != entry["name"])
            yield Emoji(_codes(character)[1], _plain(entry["name"]), entry["group"], tags, style), picture


def trained(packages: Path) -> tuple[list[Emoji], np.ndarray]:
    """-> what the model may see, and its pictures as bytes (N, SIDE, SIDE, 4)."""
    kept = [
        (one, picture)
        for style in TRAINED
        for one, picture in emoji(packages, style)
        if not is_held(one.style, one.code)
    ]
    return [one for one, _ in kept], np.stack([np.asarray(picture) for _, picture in kept])


def _plain(name: str) -> str:
    """The name with the quotation marks of a keyboard."""
    return name.translate(str.maketrans("\u2019\u201c\u201d", "'''"))


def _codes(character: str) -> tuple[str, str, str]:
    """The keys to try: as written, without variation selectors, and with one at the end."""
    bare = "-".join(f"{ord(c):04x}" for c in character if ord(c) != _SELECTOR)
    return "-".join(f"{ord(c):04x}" for c in character), bare, f"{bare}-fe0f"


def _draw(packages: Path, style: str, character: str) -> Image.Image | None:
    members = archive(packages, style).members
    if "icons.json" not in members:
        paths = (f"assets/{code}.webp" for code in _codes(character))
        raw = next((members[path] for path in paths if path in members), None)
    else:
        raw = _render(packages, style, character)
    if raw is None:
        return None
    return Image.open(io.BytesIO(raw)).convert("RGBa").resize((SIDE, SIDE), Image.Resampling.LANCZOS).convert("RGBA")


def _render(packages: Path, style: str, character: str) -> bytes | None:
    import resvg_py

    source = archive(packages, style)
    data, names = source.json("icons.json"), source.json("chars.json")
    name = next((names[code] for code in _codes(character) if code in names), None)
    if name is None:
        return None
    icon = data["icons"][name]
    width, height = (icon.get(side, data.get(side, 16)) for side in ("width", "height"))
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{icon.get("left", 0)} {icon.get("top", 0)} {width} {height}">{icon["body"]}</svg>'
    )
    return bytes(resvg_py.svg_to_bytes(svg_string=svg, width=SIDE, height=SIDE))
