"""Switch an attached method off and on: the base as it was, without taking anything out of the tree."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


def set_active(network: nn.Module, active: bool) -> None:
    """Every layer that a method put into the tree listens to `active`."""
    module: Any
    for module in network.modules():
        if hasattr(module, "active"):
            module.active = active


@contextmanager
def base_only(network: nn.Module) -> Iterator[None]:
    """The base alone inside the block: the reference of DPO, the left side of every comparison."""
    set_active(network, False)
    try:
        yield
    finally:
        set_active(network, True)
