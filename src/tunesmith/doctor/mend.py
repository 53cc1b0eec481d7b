"""The rows again as `--fix` writes them: no doubles, nothing empty, pseudonyms; and a line for each change."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith.core.errors import UserError, near
from tunesmith.core.files import write_text
from tunesmith.data.rows import Row
from tunesmith.doctor.case import Case
from tunesmith.doctor.finding import Finding
from tunesmith.doctor.private import Pseudonyms
from tunesmith.doctor.table import KINDS

UNBALANCED = "balance"
Place = tuple[str, int]  # file and row


@dataclass(frozen=True, slots=True)
class Mended:
    """`log`: row, file, what was done and why. It never repeats what was taken out."""

    rows: list[dict[str, Any]]
    log: list[dict[str, Any]]
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asks of --fix beside what it does of itself, by kinds of findings."""

    drop: Sequence[str] = ()
    keep: Sequence[str] = ()
    balance: bool = False

    def checked(self) -> "Wish":
        """The wish itself. UserError for kinds that there are not."""
        for option, kinds in (("drop", self.drop), ("keep", self.keep)):
            for kind in kinds:
                if kind not in KINDS:
                    known = f"{near(kind, KINDS)}; known are {', '.join(KINDS)}"
                    raise UserError(f"--{option}: no kind of finding is called `{kind}`{known}")
        return self


def mended(case: Case, findings: Iterable[Finding], wish: Wish | None = None) -> Mended:
    """-> what is kept of data.train."""
    wish = wish or Wish()
    gone, marked = _meant(findings, wish)
    if wish.balance:
        gone |= dict.fromkeys(_surplus(case, gone), UNBALANCED)
    pseudonyms, rows, log = Pseudonyms(), [], []
    for entry in case.entries:
        place = (entry.row.file, entry.row.number)
        if place in gone:
            log.append({"file": place[0], "row": place[1], "action": "dropped", "why": gone[place]})
            continue
        values: Any = entry.row.values
        if place in marked:
            values, changes = pseudonyms.written(values, case.scanner, case.kept)
            log.append({"file": place[0], "row": place[1], "action": "changed", "why": "redacted", "changes": changes})
        rows.append(values)
    if not rows:
        raise UserError(f"--fix: no row of {case.entries[0].row.file} would be left; name fewer kinds with --drop")
    counts = Counter(str(line["why"]) for line in log)
    return Mended(rows, log, dict(counts))


def _meant(findings: Iterable[Finding], wish: Wish) -> tuple[dict[Place, str], set[Place]]:
    """-> the rows that go, each with the first reason, and those that get pseudonyms."""
    gone: dict[Place, str] = {}
    marked: set[Place] = set()
    for finding in findings:
        places = [(finding.file, number) for number in finding.rows]
        mending = "drop" if finding.kind in wish.drop else KINDS[finding.kind].mending
        if mending == "drop" and finding.kind not in wish.keep:
            gone |= {place: finding.kind for place in places if place not in gone}
        elif mending == "redact" and finding.kind not in wish.keep:
            marked.update(places)
    return gone, marked


def write_mended(path: Path, found: Mended) -> Path:
    """Write the rows, and beside them the log; -> its path."""
    log = log_of(path)
    write_text(path, "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in found.rows))
    write_text(log, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in found.log))
    return log


def log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.log.jsonl")


def refuse_place(path: Path, sources: Sequence[str]) -> None:
    """UserError for a file that would overwrite one of the user's, or that could not be read again."""
    if path.suffix.lower() not in (".jsonl", ".ndjson"):
        raise UserError(f"--fix: {path} must end in .jsonl, which holds rows of every format")
    for file in (path, log_of(path)):
        if file.exists():
            own = any(Path(source).exists() and file.samefile(source) for source in sources)
            why = "is the file that is checked" if own else "is there already"
            raise UserError(f"--fix: {file} {why}; name a new file")


def _surplus(case: Case, gone: dict[Place, str]) -> list[Place]:
    """-> the rows of frequent labels beyond the number of the rarest, chosen by content."""
    if len(case.labels) < 2:
        raise UserError("--balance: is for rows with labels, and these have none")
    rows: dict[str, list[Row]] = {}
    for entry in case.whole:
        if entry.label and (entry.row.file, entry.row.number) not in gone:
            rows.setdefault(entry.label, []).append(entry.row)
    least = min(map(len, rows.values()))
    surplus = [row for some in rows.values() for row in sorted(some, key=lambda row: row.digest)[least:]]
    return [(row.file, row.number) for row in surplus]
