"""The state of every generator that training draws from, as tensors."""

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from tunesmith.core.protocols import State


def seed(number: int) -> None:
    """Start all generators anew: torch (each device), numpy, Python. 0 <= number < 2**32."""
    torch.manual_seed(number)
    np.random.seed(number)
    random.seed(number)


def capture(device: torch.device) -> dict[str, Tensor]:
    """-> the states of torch on the processor and on `device`, of numpy and of Python."""
    name, keys, place, has_gauss, gauss = np.random.get_state(legacy=True)
    states = {
        "torch": torch.get_rng_state(),
        "numpy": _as_bytes([name, [int(k) for k in keys], place, has_gauss, gauss]),
        "python": _as_bytes(random.getstate()),
    }
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore(states: State, device: torch.device) -> None:
    """Draw on as if nothing had been drawn since `capture`."""
    torch.set_rng_state(states["torch"])
    name, keys, *rest = _from_bytes(states["numpy"])
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
    version, internal, gauss = _from_bytes(states["python"])
    random.setstate((version, tuple(internal), gauss))
    if "cuda" in states and device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)


@contextmanager
def untouched(device: torch.device) -> Iterator[None]:
    """Whatever is drawn inside changes nothing outside."""
    states = capture(device)
    try:
        yield
    finally:
        restore(states, device)


def _as_bytes(value: object) -> Tensor:
    return torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)


def _from_bytes(values: Tensor) -> list:
    loaded = json.loads(bytes(values.tolist()))
    assert isinstance(loaded, list)
    return loaded
