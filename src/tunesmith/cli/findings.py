"""What `tunesmith check --json` says of the rows: findings of a kind, with the rows they are about."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunesmith.data.config import Data
    from tunesmith.data.prepare import Prepared
    from tunesmith.data.rows import Row

Finding = dict[str, Any]  # kind, file, count, rows (numbers from 1), message

_CUT = {
    "too long": ("too_long", "longer than {most} tokens: left out"),
    "truncated": ("truncated", "longer than {most} tokens: cut"),
    "nothing trained after truncation": ("too_long", "nothing to learn is left of it in {most} tokens: left out"),
    "all answers are the same": ("equal_answers", "all answers are the same, there is nothing to compare: left out"),
    "the answers differ only in white space": ("equal_answers", "the answers differ only in white space"),
    "the rejected answer has the higher score": ("swapped_answers", "the rejected answer has the higher score"),
}


def findings(data: "Data", prepared: "Prepared") -> list[Finding]:
    """-> one finding for each kind and file. `rows` counts what is more than once from its second appearance on."""
    facts = prepared.facts
    found: list[Finding] = []
    for reason, rows in prepared.cut.items():
        kind, message = _CUT[reason]
        found += _by_file(kind, rows, message.format(most=facts["max_length"]))
    if any(facts["duplicates"].values()):
        found += _duplicates(data)
    for part, shared in facts["overlap"].items():
        for how, message in (("exact", "also in data.train"), ("near", "nearly so in data.train")):
            if shared[how]:
                name = getattr(data, part)
                kind = "overlap" if how == "exact" else "near_overlap"
                found.append(_finding(kind, name, shared[how], [], f"rows of data.{part} that stand {message}"))
    return found


def _duplicates(data: "Data") -> list[Finding]:
    from pathlib import Path

    from tunesmith.data.duplicates import groups
    from tunesmith.data.rows import read_rows
    from tunesmith.data.split import limited

    if not all(Path(source).exists() for source in data.sources):
        return []  # a data set of the hub: `facts` has the counts
    rows = limited([row for source in data.sources for row in read_rows(source)], data.limit)
    exact = _later(rows, [row.digest for row in rows])
    near = _later(rows, groups([row.values for row in rows], data.near_duplicates))
    same = {id(row) for row in exact}
    return [
        *_by_file("exact_duplicate", exact, "repeats an earlier row"),
        *_by_file("near_duplicate", [row for row in near if id(row) not in same], "is worded almost like another row"),
    ]


def _later(rows: Sequence["Row"], keys: Iterable[object]) -> list["Row"]:
    """-> the rows whose key came before."""
    seen: set[object] = set()
    found = []
    for row, key in zip(rows, keys, strict=True):
        if key in seen:
            found.append(row)
        seen.add(key)
    return found


def _by_file(kind: str, rows: Iterable["Row"], message: str) -> list[Finding]:
    files: dict[str, list[int]] = {}
    for row in rows:
        files.setdefault(row.file, []).append(row.number)
    return [_finding(kind, name, len(numbers), numbers, message) for name, numbers in files.items()]


def _finding(kind: str, file: str, count: int, rows: list[int], message: str) -> Finding:
    return {"kind": kind, "file": file, "count": count, "rows": rows, "message": message}


def sentence(finding: Mapping[str, Any]) -> str:
    """One line for a person: the first rows are named."""
    some = ", ".join(map(str, finding["rows"][:5]))
    more = ", ..." if len(finding["rows"]) > 5 else ""
    where = f" (row {some}{more})" if some else ""
    return f"{finding['kind'].replace('_', ' ')}: {finding['count']} in {finding['file']}{where}: {finding['message']}"
