"""A safetensors file written tensor by tensor: no more than one of them is in memory.

8 bytes with the length of a JSON header, the header, the values without gaps: https://huggingface.co/docs/safetensors
"""

import json
import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tunesmith.core.files import replacing

_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
}
NUMBERS = {name: kind for kind, name in _NAMES.items()}
"""The formats of numbers that are written, by their names in a header."""


@dataclass(frozen=True, slots=True)
class Lazy:
    """A tensor that is made when it is written."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    make: Callable[[], Tensor]


def write_tensors(path: Path, tensors: Mapping[str, Lazy], metadata: Mapping[str, str]) -> None:
    """Write `tensors` in the order of their names, and `metadata` into the header. The same input, the same bytes.

    A file that lies there is replaced at the end: `tensors` may still be read from it.
    """
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))}
    end = 0
    order = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))  # wide numbers stay aligned
    for name in order:
        lazy, begin = tensors[name], end
        end = begin + math.prod(lazy.shape) * lazy.dtype.itemsize
        header[name] = {"dtype": _NAMES[lazy.dtype], "shape": list(lazy.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with replacing(path) as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            file.write(_bytes(tensors[name]))


def _bytes(lazy: Lazy) -> Any:
    made = lazy.make()
    assert made.dtype == lazy.dtype and tuple(made.shape) == lazy.shape, "a tensor is not what was announced"
    return made.contiguous().reshape(-1).view(torch.uint8).numpy().data
