"""Makes the pictures of `tunesmith quickstart image`: one cat in six moods, and other cats to hold it against.

    python scripts/make_emoji_cat.py FOLDER      # FOLDER/packages is filled through npm where it is empty

The cat is Fluent-3D's, which the image base never saw in any style; the others are Noto's cats.
"""

import argparse
from pathlib import Path

from emoji_base.drawings import SIDE, emoji
from emoji_base.packages import download
from PIL import Image

CATALOGUE = Path(__file__).parents[1] / "src" / "tunesmith" / "catalogue"
EDGE = 104  # pixels: the drawing takes 92 % of it, as the large pictures of the base's training do
SUBJECT = ("1f63a", "1f638", "1f639", "1f63b", "1f63c", "1f63d")
OTHERS = ("1f431", "1f63a", "1f638", "1f63c")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    packages = parser.parse_args().folder / "packages"
    download(packages)
    draw(packages, "3d", SUBJECT, CATALOGUE / "emoji_cat")
    draw(packages, "noto", OTHERS, CATALOGUE / "emoji_cats")


def draw(packages: Path, style: str, codes: tuple[str, ...], folder: Path) -> None:
    """Write each drawing, transparent, to `folder`."""
    folder.mkdir(exist_ok=True)
    for one, picture in emoji(packages, style):
        if one.code in codes:
            whole = Image.new("RGBA", (EDGE, EDGE))
            whole.paste(picture, ((EDGE - SIDE) // 2, (EDGE - SIDE) // 2))
            whole.save(folder / f"{one.code}.png", optimize=True)


if __name__ == "__main__":
    main()
