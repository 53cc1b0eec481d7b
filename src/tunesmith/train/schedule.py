"""The learning rate over time, as a factor of the highest one.

Cosine: Loshchilov and Hutter, SGDR (2017), one half period, https://arxiv.org/abs/1608.03983
"""

from math import ceil, cos, pi
from typing import Literal


def factor(step: int, steps: int, *, kind: Literal["cosine", "linear", "constant"], warmup: float) -> float:
    """-> the factor, in (0, 1], of step `step` (from 0) in a run of `steps`, of which the share `warmup` rises."""
    assert 0 <= step < steps
    rising = min(ceil(warmup * steps), steps - 1)
    if step < rising:
        return (step + 1) / (rising + 1)
    gone = (step - rising) / (steps - rising)  # in [0, 1): the last step still moves
    if kind == "cosine":
        return (1 + cos(pi * gone)) / 2
    return 1 - gone if kind == "linear" else 1.0
