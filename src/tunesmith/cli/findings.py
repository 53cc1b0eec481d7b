"""What reading the rows as a run would adds to the doctor's findings, and findings as lines for a person."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunesmith.data.config import Data
    from tunesmith.data.prepare import Prepared
    from tunesmith.doctor.finding import Finding

_CUT = {
    "too long": ("too_long", "longer than {most} tokens: left out"),
    "truncated": ("truncated", "longer than {most} tokens: cut"),
    "nothing trained after truncation": ("too_long", "nothing to learn is left of it in {most} tokens: left out"),
    "all answers are the same": ("equal_answers", "all answers are the same, there is nothing to compare: left out"),
    "the answers differ only in white space": ("equal_answers", "the answers differ only in white space"),
    "the rejected answer has the higher score": ("swapped_answers", "the rejected answer has the higher score"),
}
_EXAMPLES = 2


def of_tokens(data: "Data", prepared: "Prepared") -> list["Finding"]:
    """-> what only shows once the rows are tokens, and which rows of the user's own parts stand in `train`."""
    from tunesmith.doctor.finding import Finding, by_file

    found: list[Finding] = []
    for reason, rows in prepared.cut.items():
        kind, message = _CUT[reason]
        some = [(row, " ".join(map(str, row.values.values()))) for row in rows]
        found += by_file(kind, some, message.format(most=prepared.facts["max_length"]))
    for part, shared in prepared.facts["overlap"].items():
        for how, message in (("exact", "also in data.train"), ("near", "nearly so in data.train")):
            if shared[how]:
                kind = "overlap" if how == "exact" else "near_overlap"
                said = f"rows of data.{part} that stand {message}"
                found.append(Finding(kind, getattr(data, part), [], said, more={"count": shared[how]}))
    return found


def lines(found: Iterable["Finding"]) -> Iterable[str]:
    """-> a line for each finding, and its first rows below it."""
    for finding in found:
        yield sentence(finding)
        for example in finding.examples[:_EXAMPLES]:
            note = f" ({example.note})" if example.note else ""
            yield f"    row {example.row}{note}: {example.text[:120]}"


def sentence(finding: "Finding") -> str:
    """One line for a person: the first rows are named."""
    some = ", ".join(map(str, finding.rows[:5]))
    more = ", ..." if len(finding.rows) > 5 else ""
    where = f" (row {some}{more})" if some else ""
    count = finding.values()["count"]
    return f"{finding.kind.replace('_', ' ')}: {count} in {finding.file}{where}: {finding.message}"
