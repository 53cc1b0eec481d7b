"""What is to be forgotten: one row, by its hash, its content or its place; or all rows that hold some words."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.core.errors import UserError
from tunesmith.core.text import parsed
from tunesmith.data.rows import Row, read_rows

SHORTEST = 3  # signs: fewer stand in every row
_HASH = re.compile(r"[0-9a-f]{64}")
_PLACE = re.compile(r"(.+):(\d+)")


@dataclass(frozen=True, slots=True)
class Sought:
    """Rows by hash, or words. The words are shown and written nowhere."""

    digests: frozenset[str] = frozenset()
    words: re.Pattern[str] | None = None

    def holds(self, row: Row) -> bool:
        """Whether a row is one of those that are sought."""
        if self.words is None:
            return row.digest in self.digests
        return any(self.words.search(_plain(text)) for text in _texts(row.values))


def sought(asked: str) -> Sought:
    """-> what `asked` means: a sha256, a JSON object, FILE:NUMBER, or else words. Raises UserError."""
    text = asked.strip()
    if _HASH.fullmatch(text):
        return Sought(frozenset({text}))
    if text.startswith("{"):
        values = parsed(text, Path("the row that was given"), None)
        if not isinstance(values, dict) or not values:
            raise UserError("the row that was given: must be an object with named fields")
        return Sought(frozenset({Row("", 1, values).digest}))
    place = _PLACE.fullmatch(text)
    if place is not None and Path(place[1]).exists():
        return Sought(frozenset({_row_at(Path(place[1]), int(place[2])).digest}))
    plain = _plain(text)
    if len(plain) < SHORTEST:
        raise UserError(f"`{asked}`: at least {SHORTEST} signs are needed to look for words; fewer stand everywhere")
    return Sought(words=re.compile(rf"(?<!\w){re.escape(plain)}(?!\w)"))


def _row_at(path: Path, number: int) -> Row:
    rows = read_rows(path)
    found = next((row for row in rows if row.number == number), None)
    if found is None:
        raise UserError(f"{path}: has no row {number}; it has {len(rows)}, the last is {rows[-1].number}")
    return found


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield str(name)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
    elif value is not None:
        yield str(value)
