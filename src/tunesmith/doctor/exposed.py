"""Rows that hold personal data or secrets."""

from collections import Counter

from tunesmith.data.rows import Row
from tunesmith.doctor.case import Case
from tunesmith.doctor.finding import Finding, by_file, counted
from tunesmith.doctor.private import strings
from tunesmith.doctor.secrets import SECRET

_AROUND = 30
_PEOPLE = "a model can learn them by heart"


def exposed(case: Case) -> list[Finding]:
    """-> personal data and secrets: what of each kind there is and where. Values are shown masked."""
    found: dict[str, list[tuple[Row, str]]] = {"personal_data": [], "secret": []}
    kinds: dict[str, Counter[str]] = {"personal_data": Counter(), "secret": Counter()}
    where: dict[str, list[int]] = {}
    for entry in case.entries:
        shown: dict[str, str] = {}
        for _, text in strings(entry.row.values, case.kept):
            for span in case.scanner(text):
                kind = "secret" if span.what == SECRET else "personal_data"
                kinds[kind][span.what] += 1
                if (rows := where.setdefault(span.what, []))[-1:] != [entry.row.number]:
                    rows.append(entry.row.number)
                shown.setdefault(kind, _masked(text, span.start, span.stop, span.what))
        for kind, text in shown.items():
            found[kind].append((entry.row, text))
    result = []
    for kind, rows_of in found.items():
        parts = counted((count, what if count == 1 else _several(what)) for what, count in kinds[kind].most_common())
        of = {what: where[what] for what in kinds[kind]}
        why = "they would be learned, and given away" if kind == "secret" else _PEOPLE
        result += by_file(kind, rows_of, f"{parts}: {why}", what=of)
    return result


def _several(what: str) -> str:
    return f"{what}es" if what.endswith("s") else f"{what}s"


def _masked(text: str, start: int, stop: int, what: str) -> str:
    """A look at the place that does not repeat what should not be there."""
    value = text[start:stop]
    hidden = value[0] + "•" * min(8, len(value) - 1)
    left, right = text[max(0, start - _AROUND) : start], text[stop : stop + _AROUND]
    return f"{'…' if start > _AROUND else ''}{left}{hidden} ({what}){right}{'…' if len(text) > stop + _AROUND else ''}"
