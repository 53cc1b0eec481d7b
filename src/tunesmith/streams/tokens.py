"""Examples of text into packed passes."""

from collections.abc import Sequence, Sized
from typing import TypeVar

from tunesmith.core.batch import Example, TokenBatch, pack
from tunesmith.streams.stream import Feed

Row = TypeVar("Row", bound=Sized)


def token_feed(tokens_per_pass: int, *, share: bool = True) -> Feed:
    """A pass holds at most `tokens_per_pass` tokens, or one longer example.

    `share`: a beginning that all examples of a pass have in common is computed once; not for methods whose layers
    draw random numbers for each token.
    """

    def passes(examples: Sequence[Example], step: int | None) -> list[TokenBatch]:
        return [pack(group, share=share) for group in fitted(examples, tokens_per_pass)]

    return passes


def fitted(examples: Sequence[Row], limit: int) -> list[list[Row]]:
    """Few groups of at most `limit` tokens: each example, the longest first, goes where it first fits."""
    groups: list[list[Row]] = []
    room: list[int] = []
    for example in sorted(examples, key=len, reverse=True):
        place = next((i for i, left in enumerate(room) if len(example) <= left), None)
        if place is None:
            groups.append([example])
            room.append(limit - len(example))
        else:
            groups[place].append(example)
            room[place] -= len(example)
    return groups
