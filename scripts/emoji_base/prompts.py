"""The 64 prompts by which the model is judged: emoji that one knows by their look, in the three styles."""

from .captions import Slots, caption
from .drawings import Emoji

_ROWS = (
    "1f600 1f602 1f60d 1f621 1f622 1f634 1f60e 1f47b 1f480 1f47d 1f916 2764 1f44d 270b 1f440 1f444",
    "1f436 1f43b 1f43c 1f42f 1f437 1f438 1f414 1f427 1f419 1f422 1f41f 1f98b 1f41d 1f333 1f335 1f33b",
    "1f34e 1f34c 1f347 1f349 1f353 1f355 1f354 1f366 1f382 2615 1f37a 1f697 1f68c 1f6b2 2708 1f680",
    "1f3e0 26f5 2600 1f308 2744 1f525 2b50 26bd 1f3b8 1f381 1f511 1f4a1 1f4d5 1f512 1f451 1f388",
)
CODES = [code for row in _ROWS for code in row.split()]
"""By code point, so that a name may change."""

COUNT = 64


def asked(every: list[Emoji]) -> list[tuple[Emoji, Slots]]:
    """-> each emoji with what is asked for: style after style, half on white and half on a colour, large."""
    by_key = {(one.code, one.style): one for one in every}
    styles = ("3d", "noto", "flat")
    grounds = ("", "blue", "", "yellow", "", "green", "", "pink")
    found = []
    for i, code in enumerate(CODES):
        one = by_key[code, styles[i % len(styles)]]
        found.append((one, Slots(one.name, one.style, background=grounds[i % len(grounds)])))
    return found


def texts(every: list[Emoji]) -> list[str]:
    return [caption(slots) for _, slots in asked(every)]
