"""Aspect-ratio buckets: shapes of about one area, each a multiple of what the network halves.

NovelAI 2022, "Improvements on Stable Diffusion": pictures of one shape make a batch, and little is cut away.
"""

from functools import lru_cache
from math import log

from tunesmith.core.errors import UserError

Shape = tuple[int, int]  # height, width
_LONGEST = 2  # times the edge of the square: shapes go from 1:4 to 4:1


@lru_cache(maxsize=16)
def shapes(size: int, multiple: int) -> tuple[Shape, ...]:
    """-> the shapes of at most the area of a square of edge `size`, as large as they can be, the square among them."""
    refuse_uneven(size, multiple)
    found = {(size, size)}
    for long in range(size, _LONGEST * size + 1, multiple):
        short = size * size // long // multiple * multiple
        if short * _LONGEST >= size:
            found |= {(short, long), (long, short)}
    # Of shapes of one width only the tallest is kept: the others are the same with less of the picture.
    tallest = {width: max(height for height, w in found if w == width) for _, width in found}
    widest = {height: max(width for h, width in found if h == height) for height, _ in found}
    return tuple(sorted((h, w) for h, w in found if tallest[w] == h and widest[h] == w))


def refuse_uneven(size: int, multiple: int) -> None:
    """UserError for an edge that the network cannot halve as often as it does."""
    if size < multiple or size % multiple:
        lower = max(multiple, size // multiple * multiple)
        raise UserError(
            f"data.size: {size} must be a multiple of {multiple} for this base; near are {lower} and {lower + multiple}"
        )


def nearest(height: int, width: int, among: tuple[Shape, ...]) -> Shape:
    """-> the shape that keeps most of a picture; of two that keep as much the larger, then the squarer.

    A picture on its side gets the same shape on its side.
    """
    ratio = log(height / width)
    return min(
        among, key=lambda shape: (round(abs(ratio - log(shape[0] / shape[1])), 9), -shape[0] * shape[1], max(shape))
    )


def keeps(height: int, width: int, shape: Shape) -> float:
    """-> the share of a picture's area that `shape` keeps, 0 to 1."""
    return min(height / width, shape[0] / shape[1]) / max(height / width, shape[0] / shape[1])


def enlarged(height: int, width: int, shape: Shape) -> float:
    """-> by how much a picture is scaled to fill `shape`; over 1 it is blown up."""
    return max(shape[0] / height, shape[1] / width)
