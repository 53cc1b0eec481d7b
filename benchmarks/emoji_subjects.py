"""Pictures for the benchmarks of image models, from the emoji that the base never saw: subjects, and a style.

Drawn from the pinned packages of `scripts/emoji_base`, which npm brings where they are missing.
"""

import sys
from pathlib import Path

from PIL import Image
from turns import HERE

sys.path.insert(0, str(HERE.parent / "scripts"))

from emoji_base.drawings import Emoji, emoji
from emoji_base.holdout import STYLE, SUBJECTS
from emoji_base.packages import download

EDGE = 104  # pixels around a drawing of 96
HELD = 24  # concepts of a style that are not shown in its training
SHOWN = 160
_GROUPS = ("Animals & Nature", "Food & Drink", "Objects", "Travel & Places")


def subject(folder: Path, name: str) -> tuple[Path, Path]:
    """-> the pictures of a subject in 3D, and Noto's of the same characters, which are others of its class."""
    packages = _packages(folder)
    places = folder / "subjects" / name, folder / "others" / name
    for place, style in zip(places, ("3d", "noto"), strict=True):
        if not place.exists():
            for one, picture in emoji(packages, style):
                if one.code in SUBJECTS[name]:
                    _save(picture, place / f"{one.code}.png")
    return places


def style(folder: Path) -> tuple[Path, Path]:
    """-> a folder of captioned pictures in the style that was held out, and one of concepts that are in none of them.

    The second has a picture of each concept in that style (`CODE.png`) and in Noto's (`CODE-noto.png`), with its name
    in `CODE.txt`.
    """
    shown, held = folder / "style" / "shown", folder / "style" / "held"
    if held.exists():
        return shown, held
    packages = _packages(folder)
    own = {one.code: (one, picture) for one, picture in emoji(packages, STYLE) if _plain(one)}
    noto = {one.code: picture for one, picture in emoji(packages, "noto")}
    codes = [code for code in own if code in noto]
    chosen = codes[:: max(1, len(codes) // (HELD + SHOWN))][: HELD + SHOWN]
    apart = set(chosen[:: len(chosen) // HELD][:HELD])
    for code in chosen:
        one, picture = own[code]
        place = held if code in apart else shown
        _save(picture, place / f"{code}.png")
        if code in apart:
            _save(noto[code], place / f"{code}-noto.png")
        (place / f"{code}.txt").write_text(
            one.name if code in apart else f"a zwx emoji of {one.name}", encoding="utf-8"
        )
    return shown, held


def _plain(one: Emoji) -> bool:
    subjects = {code for codes in SUBJECTS.values() for code in codes}
    return one.group in _GROUPS and not one.is_near_double and one.code not in subjects


def _packages(folder: Path) -> Path:
    download(folder / "packages")
    return folder / "packages"


def _save(picture: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = Image.new("RGBA", (EDGE, EDGE))
    whole.paste(picture, ((EDGE - picture.width) // 2, (EDGE - picture.height) // 2))
    whole.save(path)
