"""Put stored tensors back into an attached method: every one in its place, or an error and no change."""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from tunesmith.core.errors import UserError

SHOWN = 3  # names in a message


class Stores(Protocol):
    def stored(self, network: nn.Module) -> dict[str, Tensor]: ...


def load_stored(method: Stores, network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy `tensors` into what `method` put into `network`. Raises UserError for missing, extra or misshapen ones."""
    places = method.stored(network)
    if missing := [name for name in places if name not in tensors]:
        raise UserError(f"adapter: {_some(missing)} missing from the file; it was made for another base or method")
    if extra := [name for name in tensors if name not in places]:
        raise UserError(f"adapter: {_some(extra)} in the file without a place in the model; it fits another base")
    for name, place in places.items():
        if place.shape != tensors[name].shape:
            raise UserError(
                f"adapter: {name} has shape {tuple(tensors[name].shape)}, the model needs {tuple(place.shape)}; "
                "it was made for another base"
            )
    with torch.no_grad():
        for name, place in places.items():
            place.copy_(tensors[name])


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more + (" are" if len(names) > 1 else " is")
