"""What is rare among the rows: labels beside the most frequent one, languages beside the main one."""

from collections import Counter

from tunesmith.doctor.case import Case
from tunesmith.doctor.finding import Finding, by_file
from tunesmith.doctor.language import UNKNOWN

_RATIO = 5  # a label that stands five times less often than another
_MAIN = 0.8  # one language is that of the rows when so many are written in it


def imbalance(case: Case) -> list[Finding]:
    if len(case.labels) < 2:
        return []
    most = max(case.labels.values())
    rare = {label for label, count in case.labels.items() if _RATIO * count <= most}
    if not rare:
        return []
    rows = [(entry.row, entry.text) for entry in case.whole if entry.label in rare]
    labels = {id(entry.row): entry.label or "" for entry in case.whole if entry.label in rare}
    shown = ", ".join(f"{label} {count}" for label, count in list(case.labels.items())[:8])
    message = f"labels that are rare beside the most frequent one ({shown})"
    return by_file("imbalance", rows, message, lambda row: labels[id(row)], labels=case.labels)


def other_languages(case: Case) -> list[Finding]:
    """Rows in another language than nearly all the rest."""
    counts = Counter(name for name in case.languages if name != UNKNOWN)
    if not counts:
        return []
    main, most = counts.most_common(1)[0]
    if most < _MAIN * counts.total():
        return []
    other = [(e, name) for e, name in zip(case.whole, case.languages, strict=True) if name not in (UNKNOWN, main)]
    names = {id(entry.row): name for entry, name in other}
    rows = [(entry.row, entry.answer if entry.label is None and entry.answer else entry.text) for entry, _ in other]
    message = f"written in another language than most rows ({main})"
    return by_file("other_language", rows, message, lambda row: names[id(row)])
