"""Text files and JSON of a user: whatever the bytes are, a value or one UserError that names the place comes out."""

import json
from pathlib import Path
from typing import Any

from tunesmith.core.errors import UserError


def read_text(path: Path) -> str:
    """-> the text of a UTF-8 file, without a byte-order mark."""
    data = read_bytes(path)
    if not data.strip():
        raise UserError(f"{path}: the file is empty")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{path}: the file is UTF-16; save it as UTF-8")
    if (zero := data.find(b"\0")) >= 0:
        raise UserError(f"{path}, line {_line(data, zero)}: a NUL byte at offset {zero}; this is not a text file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = error.start + (3 if data.startswith(b"\xef\xbb\xbf") else 0)
        raise UserError(
            f"{path}, line {_line(data, where)}: byte 0x{data[where]:02x} at offset {where} is not UTF-8; save it so"
        ) from None


def read_bytes(path: Path) -> bytes:
    """-> the bytes of a file. UserError says why they cannot be had."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def _line(data: bytes, offset: int) -> int:
    return data.count(b"\n", 0, offset) + 1


class SeveralValues(Exception):  # noqa: N818 - not an error
    """The file holds JSON lines."""


def parsed(text: str, path: Path, line: int | None) -> Any:
    """-> the JSON value of `text`, which is `line` of the file, or all of it."""
    where = f"{path}, line {line}" if line else str(path)
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        if line is None and error.msg == "Extra data":
            raise SeveralValues from None
        where = f"{path}, line {line or error.lineno}"
        raise UserError(f"{where}: broken JSON at column {error.colno} ({error.msg})") from None
    except _BadObject as error:
        raise UserError(f"{where}: {error}") from None
    except RecursionError:
        raise UserError(f"{where}: the JSON is nested too deeply") from None
    except ValueError as error:  # a number of more digits than Python reads
        raise UserError(f"{where}: {str(error).split(';')[0]}") from None


class _BadObject(Exception):  # noqa: N818 - becomes a UserError that knows the place
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _BadObject(f"the key {json.dumps(twice)} stands twice in one object")
    return values


def _no_constant(name: str) -> None:
    raise _BadObject(f"{name} is not a JSON value")
