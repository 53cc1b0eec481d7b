"""The running mean of what trains (EMA): smoother than the last weights, so it is what is validated and exported.

a <- d a + (1 - d) w        d = min(ema, (1 + n) / (10 + n)) after n updates: a mean of few weights forgets the start

Polyak and Juditsky, Acceleration of stochastic approximation by averaging (1992). It is taken in float32.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from tunesmith.core.protocols import State


class Average:
    """The mean of `values`, which the optimizer changes; `parameters` are where a model reads them."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], values: Mapping[str, Tensor], decay: float) -> None:
        self._parameters, self._values, self._decay = parameters, values, decay
        self.state: dict[str, Tensor] = {name: value.detach().float().clone() for name, value in values.items()}

    @torch.no_grad()
    def follow(self, updates: int) -> None:
        """Take in the weights as they are after so many `updates`."""
        moved = 1 - min(self._decay, (1 + updates) / (10 + updates))
        for name, mean in self.state.items():
            mean.lerp_(self._values[name].float(), moved)

    @torch.no_grad()
    def load(self, state: State) -> None:
        for name, mean in self.state.items():
            mean.copy_(state[name])

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the model has the mean for its weights."""
        with torch.no_grad():
            before = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}
            self._put(self.state)
            try:
                yield
            finally:
                self._put(before)

    def _put(self, state: State) -> None:
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(state[name])
