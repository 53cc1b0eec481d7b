"""Which rows a run was made with, by hash alone: `rows.json` of its folder; and the rows that were forgotten since.

A row is known by the sha256 of its content as canonical JSON. That tells nothing of a row that nobody can guess whole,
and confirms one that somebody can: the files are private as all others.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith.core.errors import UserError
from tunesmith.core.files import write_json

INDEX, FORGOTTEN = "rows.json", "forgotten.jsonl"
Digests = dict[str, list[str]]
"""By part (train, validation, test): the sha256 of each row."""


def write_index(folder: Path, digests: Mapping[str, Sequence[str]]) -> None:
    """The order of the hashes is their own: it tells nothing of the rows."""
    write_json(folder / INDEX, {part: sorted(set(some)) for part, some in digests.items()})


def read_index(folder: Path) -> Digests | None:
    """-> None for a run of an older version. Raises UserError for a damaged file."""
    path = folder / INDEX
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {str(part): [str(one) for one in some] for part, some in found.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise UserError(f"{path}: damaged ({error}); train the run again, or remove it") from error


def tombstones(runs: Path) -> list[dict[str, Any]]:
    """-> what was forgotten among the runs of a folder, oldest first. Raises UserError for a damaged file."""
    path = runs / FORGOTTEN
    if not path.is_file():
        return []
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [dict(line, rows=list(line["rows"])) for line in lines]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: damaged ({error}); it lists what was forgotten: put it right by hand") from error


def reminders(runs: Path, digests: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """-> a warning for rows that were forgotten and are here again."""
    here = {one for some in digests.values() for one in some}
    for stone in tombstones(runs):
        again = here.intersection(stone["rows"])
        if again:
            yield (
                f"warning: {len(again)} rows that were forgotten on {stone.get('date')} ({runs / FORGOTTEN}) are used "
                "again; take them out of the file, or name them in data.exclude"
            )
