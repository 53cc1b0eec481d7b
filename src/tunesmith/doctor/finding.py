"""What the doctor says of some rows."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tunesmith.data.rows import Row

if TYPE_CHECKING:
    from tunesmith.doctor.case import Case

SHOWN = 5  # examples that are kept of each kind and file
_LENGTH = 240


@dataclass(frozen=True, slots=True)
class Example:
    """A row to look at, and what in it is meant."""

    row: int
    text: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of finding in one file. `rows` counts from 1; `more` holds the numbers behind the message."""

    kind: str
    file: str
    rows: list[int]
    message: str
    examples: list[Example] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)

    def values(self) -> dict[str, Any]:
        """-> as `--json` prints it."""
        shown = {
            "kind": self.kind,
            "file": self.file,
            "count": len(self.rows),
            "rows": self.rows,
            "message": self.message,
        }
        return shown | self.more


Finder = Callable[["Case"], list[Finding]]


def by_file(
    kind: str,
    found: Sequence[tuple[Row, str]],
    message: str,
    note: Callable[[Row], str] | None = None,
    **more: Any,
) -> list[Finding]:
    """-> a finding for each file of the rows. With each row comes the text that shows it."""
    files: dict[str, list[tuple[Row, str]]] = {}
    for row, text in found:
        files.setdefault(row.file, []).append((row, text))
    return [
        Finding(
            kind,
            file,
            [row.number for row, _ in some],
            message,
            [Example(row.number, short(text), note(row) if note else "") for row, text in some[:SHOWN]],
            more,
        )
        for file, some in files.items()
    ]


def short(text: str, length: int = _LENGTH) -> str:
    """-> the beginning of a text on one line."""
    line = " ".join(text[: 4 * length].split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def counted(parts: Iterable[tuple[int, str]]) -> str:
    """-> `3 e-mails, 1 phone`."""
    return ", ".join(f"{count} {name}" for count, name in parts if count)
