"""The header of a GGUF file, read with bounds: what it is, and whether all of it is there.

The format: magic, version, two counts, typed key-value pairs, one entry for each tensor, then the aligned values.
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import math
import mmap
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from tunesmith.core.errors import UserError

MAX_ENTRIES = 100_000
MAX_ITEMS = 1 << 24  # of one array
MAX_TEXT = 16 << 20
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9


@dataclass(frozen=True, slots=True)
class Header:
    """What a GGUF file says about itself. Arrays are kept as their lengths."""

    values: dict[str, Any]
    kinds: dict[str, int]  # storage of the tensors: {"Q4_1": 210, "F32": 61}

    @property
    def architecture(self) -> str:
        return str(self.values.get("general.architecture", ""))

    @property
    def licence(self) -> str | None:
        found = self.values.get("general.license")
        return found if isinstance(found, str) else None

    @property
    def storage(self) -> str:
        """The format of most tensors with more than 16 bits left out: "Q4_1", or "BF16" where nothing is quantised."""
        packed = {k: n for k, n in self.kinds.items() if k not in ("F32", "F64")} or self.kinds
        return max(packed, key=lambda k: packed[k])


class _Reader:
    """Walks a mapped file; reading beyond its end is a UserError."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path, self.data, self.place = path, data, 0

    def skip(self, count: int) -> int:
        """-> where the skipped bytes began"""
        begin, self.place = self.place, self.place + count
        if self.place > len(self.data):
            raise UserError(f"{self.path}: truncated inside its header, at {len(self.data)} bytes; get it again")
        return begin

    def scalar(self, code: str) -> Any:
        layout = struct.Struct(f"<{code}")
        return layout.unpack_from(self.data, self.skip(layout.size))[0]

    def count(self, what: str, most: int) -> int:
        found = self.scalar("Q")
        if found > most:
            raise UserError(f"{self.path}: {found} {what}; more than {most} are not read, the file is damaged")
        return int(found)

    def text(self) -> str:
        length = self.count("bytes in one text", MAX_TEXT)
        begin = self.skip(length)
        return self.data[begin : begin + length].decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        if kind == _TEXT:
            return self.text()
        if kind == _ARRAY:
            return self.array()
        if kind not in _SCALARS:
            raise UserError(f"{self.path}: a value of unknown type {kind} in its header; the file is damaged")
        return self.scalar(_SCALARS[kind])

    def array(self) -> int:
        kind, items = self.scalar("I"), self.count("items in one array", MAX_ITEMS)
        if kind in _SCALARS:
            self.skip(items * struct.calcsize(f"<{_SCALARS[kind]}"))
        elif kind == _TEXT:
            for _ in range(items):
                self.skip(self.count("bytes in one text", MAX_TEXT))
        else:  # arrays of arrays are in the format, but in no model
            raise UserError(f"{self.path}: an array of unknown type {kind} in its header; the file is damaged")
        return items


def read_header(path: Path) -> Header:
    """The checked header of `path`. `UserError`: not GGUF, truncated anywhere, or counts that make no sense."""
    with path.open("rb") as stream:
        magic = stream.read(4)
        if magic != b"GGUF":
            raise UserError(f"{path}: not a GGUF file (it begins with {magic!r})")
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _walk(_Reader(path, data))


def _walk(reader: _Reader) -> Header:
    reader.skip(4)
    version = reader.scalar("I")
    if version not in (2, 3):
        raise UserError(f"{reader.path}: GGUF version {version}; versions 2 and 3 (little-endian) are read")
    tensors = reader.count("tensors", MAX_ENTRIES)
    values = {}
    for _ in range(reader.count("keys", MAX_ENTRIES)):
        name = reader.text()
        values[name] = reader.value(reader.scalar("I"))
    kinds: Counter[str] = Counter()
    end, last = 0, ""
    for _ in range(tensors):
        name, kind, stop = _tensor(reader)
        kinds[kind] += 1
        end, last = max((end, last), (stop, name))
    alignment = values.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment < 1:
        raise UserError(f"{reader.path}: `general.alignment` is {alignment}; the file is damaged, get it again")
    needed = -(-reader.place // alignment) * alignment + end
    if needed > len(reader.data):
        missing = needed - len(reader.data)
        raise UserError(f"{reader.path}: truncated: {missing} of {needed} bytes are missing (`{last}`); get it again")
    return Header(values, dict(kinds))


def _tensor(reader: _Reader) -> tuple[str, str, int]:
    """-> name, storage, where its values end after the header"""
    name, rank = reader.text(), reader.scalar("I")
    if rank > 4:
        raise UserError(f"{reader.path}: `{name}` has {rank} dimensions; the file is damaged, get it again")
    shape = [reader.scalar("Q") for _ in range(rank)]
    kind, offset = reader.scalar("I"), reader.scalar("Q")
    try:
        storage = GGMLQuantizationType(kind)
    except ValueError:
        raise UserError(f"{reader.path}: `{name}` is stored in an unknown format ({kind})") from None
    block, width = GGML_QUANT_SIZES[storage]
    return name, storage.name, offset + math.prod(shape) // block * width
