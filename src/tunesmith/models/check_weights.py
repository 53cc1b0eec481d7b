"""Safetensors files, checked before a byte of weights is allocated; and weights, checked for not-a-number.

The format: 8 bytes (little-endian) with the length of a JSON header, the header, the values without gaps. It has no
checksum, so a truncated file is found by its extents alone. https://huggingface.co/docs/safetensors
"""

import json
import math
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tunesmith.core.errors import UserError

MAX_HEADER = 100 << 20
MAX_TENSORS = 100_000
MAX_INDEX = 50 << 20
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "I16": 16, "U16": 16, "F16": 16,
    "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
Shapes = dict[str, tuple[int, ...]]


def read_json(path: Path, limit: int = MAX_INDEX) -> dict[str, Any]:
    """The object in a JSON file; a UserError for anything else, for doubled keys and for files beyond `limit` bytes."""
    if path.stat().st_size > limit:
        raise UserError(f"{path}: {path.stat().st_size >> 20} MB of JSON; more than {limit >> 20} MB is not read")
    return _object(path.read_bytes(), str(path))


def _object(raw: bytes, where: str) -> dict[str, Any]:
    try:
        found = json.loads(raw.decode("utf-8"), object_pairs_hook=_once)
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: not UTF-8 at byte {error.start}; the file is damaged, get it again") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: broken JSON ({error}); the file is damaged, get it again") from error
    if not isinstance(found, dict):
        raise UserError(f"{where}: a JSON object is expected, found {type(found).__name__}")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(n for n in names if names.count(n) > 1)!r} stands there twice")
    return found


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that hold the model in `folder`: one, or the shards that the index names, all present."""
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file():
        return [single]
    if not index.is_file():
        raise UserError(f"{folder}: no model.safetensors and no model.safetensors.index.json; {_what_lies(folder)}")
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(p, str) for p in places.values()):
        raise UserError(f"{index}: `weight_map` must give a file for each tensor; get the model again")
    files = []
    for name in sorted(set(places.values())):
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise UserError(f"{index}: `{name}` is not the name of a safetensors file beside it")
        if not (folder / name).is_file():
            raise UserError(f"{folder / name}: missing, though the index names it; get the model again")
        files.append(folder / name)
    return files


def _what_lies(folder: Path) -> str:
    names = sorted(p.name for p in folder.iterdir())
    pickled = [n for n in names if n.endswith((".bin", ".pt", ".pth", ".ckpt", ".pkl"))]
    if pickled:
        return f"{pickled[0]} can run code when it is read and is never opened: convert it to safetensors"
    if ggufs := [n for n in names if n.endswith(".gguf")]:
        return f"to use the GGUF file, name it: {folder / ggufs[0]}"
    return "the weights are missing"


def check_safetensors(path: Path) -> Shapes:
    """The shape of each tensor, read from the header alone.

    `UserError` where header and file size do not fit, tensors overlap or leave gaps, or the header is absurd.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        first = stream.read(8)
        if len(first) < 8:
            raise UserError(f"{path}: truncated: {size} bytes are no safetensors file; get it again")
        length = struct.unpack("<Q", first)[0]
        if length > MAX_HEADER:
            raise UserError(f"{path}: not a safetensors file (a header of {length} bytes)")
        if length > size - 8:
            raise UserError(f"{path}: truncated: the header has {length} bytes, the file {size}; get it again")
        header = _object(stream.read(length), f"{path} (header)")
    header.pop("__metadata__", None)
    if len(header) > MAX_TENSORS:
        raise UserError(f"{path}: {len(header)} tensors; more than {MAX_TENSORS} are not read")
    end = _extents(path, header)
    there = size - 8 - length
    if end > there:
        raise UserError(f"{path}: truncated: {end - there} of {end} bytes of weights are missing; get it again")
    if end < there:
        raise UserError(f"{path}: {there - end} bytes that belong to no tensor; the file is damaged, get it again")
    return {name: tuple(entry["shape"]) for name, entry in header.items()}


def _extents(path: Path, header: dict[str, Any]) -> int:
    """Where the last tensor ends; each must begin where the one before it ends."""
    spans = []
    for name, entry in header.items():
        match entry:
            case {"dtype": str(kind), "shape": list(shape), "data_offsets": [int(begin), int(end)]} if kind in _BITS:
                natural = all(type(n) is int and 0 <= n < 1 << 48 for n in shape)
            case _:
                natural = False
        if not natural or len(shape) > 16 or math.prod(shape) * _BITS[kind] != 8 * (end - begin):
            raise UserError(f"{path}: `{name}` has an entry that makes no sense; the file is damaged, get it again")
        spans.append((begin, end, name))
    last = 0
    for begin, end, name in sorted(spans):
        if begin != last:
            raise UserError(f"{path}: `{name}` overlaps or leaves a gap; the file is damaged, get it again")
        last = end
    return last


def refuse_if_not_finite(network: nn.Module, source: Path) -> None:
    """UserError with the name of the first weight that holds NaN or Inf."""
    for name, weight in _weights(network):
        # The extremes carry NaN and Inf, and need no mask of the size of the weight.
        if weight.numel() and not torch.stack(torch.aminmax(weight)).isfinite().all():
            bad = int((~weight.isfinite()).sum())
            raise UserError(f"{source}: `{name}` holds {bad} values that are NaN or infinite; get the model again")


def _weights(network: nn.Module) -> Iterable[tuple[str, Tensor]]:
    for name, weight in network.named_parameters():
        yield name, weight.detach()
    for name, buffer in network.named_buffers():
        if buffer.is_floating_point() and name in network.state_dict():
            yield name, buffer
