"""From the recipe's `data` section to a case."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tunesmith.core.protocols import Eats, Ending
from tunesmith.data.config import Data
from tunesmith.data.prepare import read_parts
from tunesmith.data.rows import read_rows
from tunesmith.data.split import limited
from tunesmith.doctor.case import Case
from tunesmith.doctor.entries import read_entries
from tunesmith.doctor.private import strings


def read_case(
    config: Data,
    eats: Eats = "tokens",
    ending: Ending = "words",
    *,
    allow_download: bool = False,
    yardsticks: Mapping[str, Sequence[str]] | None = None,
) -> Case:
    """-> the rows of all files, read. UserError for rows that no run could read."""
    rows, own = read_parts(config, allow_download)
    entries = read_entries(config, limited(rows, config.limit), eats, ending)
    held = {name: read_entries(config, some, eats, ending) for name, some in own.items()}
    return Case(config, entries, held, yardsticks or {})


def read_texts(path: Path) -> list[str]:
    """-> the text of each row of an evaluation set, whatever its columns. UserError where there is none."""
    return ["\n".join(text for _, text in strings(row.values, frozenset({"label"}))) for row in read_rows(path)]
