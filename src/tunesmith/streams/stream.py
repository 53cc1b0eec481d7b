"""What all streams are: the examples of a step, made into the passes of that step by a feed."""

from collections.abc import Callable, Sequence
from typing import Any

from tunesmith.core.batch import Batch, Example
from tunesmith.core.keyed import Keyed
from tunesmith.core.order import drawn_indices, step_indices

Feed = Callable[[Sequence[Any], int | None], Sequence[Batch]]
"""Examples, and the number of the step (None: they are to be judged, not learned) -> passes.

It may ask the model as it is at that moment: answers, and how far it has moved, are made here. With the same model it
is a pure function, so that a resumed run cannot drift.
"""
Stream = Callable[[int], Sequence[Batch]]


def steps(feed: Feed, examples: Sequence[Example], *, seed: int, batch_size: int, updates: int = 1) -> Stream:
    """-> the passes of each step, from 0. So many `updates` in a row are fed with the same examples."""

    def passes(step: int) -> Sequence[Batch]:
        return feed([examples[i] for i in step_indices(seed, len(examples), batch_size, step // updates)], step)

    return passes


def alone(feed: Feed) -> Feed:
    """-> a feed that makes a pass of each example."""

    def passes(examples: Sequence[Any], step: int | None) -> list[Batch]:
        return [batch for example in examples for batch in feed([example], step)]

    return passes


def drawn_steps(feed: Feed, examples: Sequence[Example], *, keyed: Keyed, share: float) -> Stream:
    """-> steps of examples each of which is drawn by itself, with the same chance."""

    def passes(step: int) -> Sequence[Batch]:
        return feed([examples[i] for i in drawn_indices(keyed, len(examples), share, step)], step)

    return passes
