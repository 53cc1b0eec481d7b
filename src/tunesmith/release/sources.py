"""What a run was made from, without paths of this machine: the rows, with hash and licence."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.catalogue.entries import CATALOGUE
from tunesmith.release.measured import Known


@dataclass(frozen=True, slots=True)
class Rows:
    """One file or set of rows."""

    name: str  # of the file, without its folder: a card is given away
    sha256: str | None  # None: it was no file
    licence: str | None
    source: str | None
    note: str | None


def rows_of(known: Known) -> list[Rows]:
    """-> what the run read, in the order in which it was named."""
    data: Any = known.files.recipe.get("data")
    data = data if isinstance(data, dict) else {}
    train = data.get("train")
    found = CATALOGUE.get(train) if isinstance(train, str) else None
    read: Any = known.files.data.get("files") or {}
    stated = data.get("licence")
    if found is not None and found.kind == "data":
        return [
            Rows(f"{found.name}, {Path(n).name}", h, found.licence, found.source, found.note) for n, h in read.items()
        ]
    return [Rows(Path(str(name)).name, digest, stated, None, None) for name, digest in read.items()]


def settings(known: Known) -> Iterable[tuple[str, str]]:
    """-> what the recipe said of method, objective and training, by dotted key; paths by their last name only."""
    for part in ("method", "objective", "train"):
        section: Any = known.files.recipe.get(part)
        for key, value in (section or {}).items():
            if value not in (None, {}, []) and f"{part}.{key}" not in known.result.chosen:
                yield f"{part}.{key}", _shown(value)
    for key, one in known.result.chosen.items():
        yield key, f"{_shown(one.value)} ({one.reason})"


def _shown(value: Any) -> str:
    text = str(value)
    return Path(text).name if isinstance(value, str) and "/" in value else text
