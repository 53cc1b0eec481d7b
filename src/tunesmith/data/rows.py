"""Rows of files: JSON lines, JSON, CSV, TSV, Parquet, texts. Whatever the bytes are, rows or one UserError come out."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tunesmith.core.errors import UserError, near
from tunesmith.core.text import SeveralValues, parsed, read_bytes, read_text

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".txt", ".md")


@dataclass(frozen=True)
class Row:
    """One object of a file. `number` counts from 1; in JSON lines it is the line."""

    file: str
    number: int
    values: dict[str, Any]

    @cached_property
    def digest(self) -> str:
        """The sha256 of the content: the same for equal rows, wherever they stand."""
        return hashlib.sha256(canonical(self.values).encode()).hexdigest()

    @property
    def place(self) -> str:
        return f"{self.file}, row {self.number}"


def canonical(values: object) -> str:
    """JSON with sorted keys and no spaces."""
    return json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)


def read_rows(path: str | Path) -> list[Row]:
    """-> the rows of a file, or of all .txt and .md files of a folder. UserError names the file and the row."""
    from tunesmith.data.tables import parquet_rows, separated_rows

    path = Path(path)
    if path.is_dir():
        return _checked(_folder_rows(path), path)
    readers: dict[str, Callable[[Path], list[Row]]] = {
        ".jsonl": _line_rows,
        ".ndjson": _line_rows,
        ".json": _json_rows,
        ".csv": lambda p: separated_rows(p, read_text(p), ","),
        ".tsv": lambda p: separated_rows(p, read_text(p), "\t"),
        ".parquet": parquet_rows,
        ".txt": _text_rows,
        ".md": _text_rows,
    }
    if not path.exists():
        raise UserError(f"{path}: no such file{_near_files(path)}")
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UserError(
            f"{path}: unknown kind of file `{path.suffix}`; known are {', '.join(SUFFIXES)} and folders of texts"
        )
    return _checked(reader(path), path)


def fingerprint(path: str | Path) -> str:
    """-> the sha256 of a file's bytes, or of the names and bytes of a folder's texts."""
    path = Path(path)
    digest = hashlib.sha256()
    for file in _texts(path) if path.is_dir() else [path]:
        if path.is_dir():
            digest.update(str(file.relative_to(path)).encode() + b"\0")
        digest.update(read_bytes(file))
    return digest.hexdigest()


def _near_files(path: Path) -> str:
    try:
        return near(path.name, [file.name for file in path.parent.iterdir()])
    except OSError:
        return ""


def _line_rows(path: Path) -> list[Row]:
    lines = enumerate(read_text(path).split("\n"), start=1)  # not splitlines: U+2028 may stand inside a JSON string
    return [Row(str(path), n, _object(parsed(line, path, n), path, n)) for n, line in lines if line.strip()]


def _json_rows(path: Path) -> list[Row]:
    text = read_text(path)
    try:
        whole = parsed(text, path, None)
    except SeveralValues:
        return _line_rows(path)  # many files named .json hold JSON lines
    if isinstance(whole, dict) and isinstance(whole.get("data"), list):
        whole = whole["data"]
    if not isinstance(whole, list):
        raise UserError(f'{path}: must hold a list of objects, or {{"data": [...]}}, not {_kind(whole)}')
    return [Row(str(path), n, _object(value, path, n)) for n, value in enumerate(whole, start=1)]


def _text_rows(path: Path) -> list[Row]:
    return [Row(str(path), 1, {"text": read_text(path)})]


def _folder_rows(path: Path) -> list[Row]:
    files = _texts(path)
    if not files:
        raise UserError(f"{path}: the folder holds no .txt or .md file")
    return [Row(str(file), 1, {"text": read_text(file)}) for file in files]


def _texts(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.suffix.lower() in (".txt", ".md") and file.is_file())


def _object(value: Any, path: Path, number: int) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{path}, row {number}: must be an object with named fields, not {_kind(value)}")
    if not value:
        raise UserError(f"{path}, row {number}: the object is empty")
    return value


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _checked(rows: list[Row], path: Path) -> list[Row]:
    if not rows:
        raise UserError(f"{path}: the file holds no rows")
    for row in rows:
        try:
            text = canonical(row.values)
            text.encode()
        except UnicodeEncodeError:
            raise UserError(f"{row.place}: holds half a character (a lone surrogate)") from None
        except (TypeError, ValueError, RecursionError) as error:
            raise UserError(f"{row.place}: holds a value that JSON cannot ({error})") from None
        if "\\u0000" in text and _holds_zero(row.values):
            raise UserError(f"{row.place}: holds a NUL character")
    return rows


def _holds_zero(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_holds_zero(part) for item in value.items() for part in item)
    if isinstance(value, list):
        return any(map(_holds_zero, value))
    return isinstance(value, str) and "\0" in value
