"""Stop strings: an answer ends where the first of them stands, and nobody sees a part of it."""

from collections.abc import Callable, Iterable, Iterator, Sequence

Decode = Callable[[list[int]], str]
BROKEN = "\ufffd"  # what stands for a character of which not all bytes are there


def cut(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """-> `text` up to the first stop string, and whether there was one.

    The first is the one that is complete first, so that the end does not depend on how a text is cut into tokens.
    """
    found = [(place + len(stop), place) for stop in stops if (place := text.find(stop)) >= 0]
    return (text[: min(found)[1]], True) if found else (text, False)


def safe(text: str, stops: Sequence[str]) -> str:
    """-> what of a growing text, in which no stop string is, can be shown: no beginning of one at its end."""
    longest = max(map(len, stops), default=1) - 1
    for length in range(min(longest, len(text)), 0, -1):
        if any(stop.startswith(text[-length:]) for stop in stops):
            return text[:-length]
    return text


def pieces(tokens: Iterable[list[int | None]], decode: Decode, stops: Sequence[str] = ()) -> Iterator[str]:
    """The text of a single growing answer, in pieces that never break a character and have nothing of a stop string."""
    so_far: list[int] = []
    shown, ended = "", False
    for step in tokens:
        if step[0] is None:
            break
        so_far.append(step[0])
        text, ended = cut(decode(so_far), stops)
        new = text if ended else safe(text, stops)
        if not new.endswith(BROKEN) and len(new) > len(shown):
            yield new[len(shown) :]
            shown = new
        if ended:
            break
    rest = cut(decode(so_far), stops)[0][len(shown) :]
    if rest:
        yield rest
