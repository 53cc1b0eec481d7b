"""The width of a low-rank change: a number, or what a trial finds."""

from contextlib import suppress
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

WIDEST = 4096


def _rank(value: Any) -> Any:
    if value == "auto":
        return value
    with suppress(TypeError, ValueError):
        if not isinstance(value, bool) and (rank := int(value)) == float(value) and 1 <= rank <= WIDEST:
            return rank
    raise ValueError(f"must be a whole number from 1 to {WIDEST}, or auto, not {value!r}")


Rank = Annotated[int | Literal["auto"], BeforeValidator(_rank)]


def settled(rank: int | Literal["auto"]) -> int:
    """-> the number, once nothing is left open."""
    assert rank != "auto", "the caller puts a number in its place"
    return rank
