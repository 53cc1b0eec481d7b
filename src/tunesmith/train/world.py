"""The processes of a run, seen from one of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class World:
    device: torch.device
    size: int = 1

    def sum(self, values: Tensor) -> Tensor:
        """-> `values` added over the processes."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def count(self, number: int) -> int:
        """-> a whole number added over the processes."""
        if self.size == 1:
            return number
        return int(self.sum(torch.tensor(number, device=self.device)))

    @contextmanager
    def gradient_sync(self, model: nn.Module, enabled: bool) -> Iterator[None]:
        """Inside, `backward` shares gradients between processes only when `enabled`."""
        if self.size == 1 or enabled:
            yield
        else:
            with model.no_sync():  # type: ignore[operator]  # a model of several processes is wrapped, and has it
                yield
