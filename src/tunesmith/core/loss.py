"""What an objective returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Loss:
    """A differentiable sum over the units of a batch, and what to log about them."""

    total: Tensor  # ()
    metrics: Mapping[str, Tensor] = field(default_factory=dict)  # detached sums over the same units
