"""A place in a text that says too much, and how places that overlap become one."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """Characters [start, stop) of a text, and what they are."""

    start: int
    stop: int
    what: str


def apart(spans: Iterable[Span]) -> list[Span]:
    """-> spans in their order, none over another: the one that begins first stays, of these the longest."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.start, -s.stop)):
        if not kept or span.start >= kept[-1].stop:
            kept.append(span)
    return kept
