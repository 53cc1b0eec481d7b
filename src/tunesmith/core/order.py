"""Which examples make a step: a pure function of (seed, epoch, place), so that a resumed run cannot drift."""

from functools import lru_cache

import numpy as np
from numpy.random import MT19937, RandomState, SeedSequence

from tunesmith.core.keyed import Keyed


def steps_per_epoch(count: int, batch_size: int) -> int:
    """-> how many steps show each of `count` examples once; the last may be short."""
    return -(-count // batch_size)


def step_indices(seed: int, count: int, batch_size: int, step: int) -> list[int]:
    """-> the places, in 0..count-1, of the examples of `step` (from 0).

    Each epoch is a new order in which each example comes once. The rest at the end of an epoch is a short step:
    no example is left out, none is seen twice.
    """
    epoch, window = divmod(step, steps_per_epoch(count, batch_size))
    start = window * batch_size
    return [int(place) for place in _permutation(seed, epoch, count)[start : start + batch_size]]


def drawn_indices(keyed: Keyed, count: int, share: float, step: int) -> list[int]:
    """-> the places of the examples of `step`, each of which is in it with the chance `share`, whatever the others do.

    Poisson sampling. A step may have no example.
    """
    return [int(place) for place in np.flatnonzero(keyed.generator("sample", step).random(count) < share)]


def seen(seed: int, count: int, batch_size: int, steps: int) -> list[int]:
    """-> the places that the first `steps` steps show, in the order of the examples."""
    if steps >= steps_per_epoch(count, batch_size):
        return list(range(count))
    return sorted(place for step in range(steps) for place in step_indices(seed, count, batch_size, step))


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, count: int) -> np.ndarray:
    # RandomState, not Generator: numpy promises that its streams never change between versions.
    return RandomState(MT19937(SeedSequence([seed, epoch]))).permutation(count)
