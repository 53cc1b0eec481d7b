"""Rows that stand twice: word for word, in almost the same words, or with one question and several answers."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from tunesmith.doctor.case import Case
from tunesmith.doctor.entries import Entry
from tunesmith.doctor.finding import Finding, by_file

_STANDING = 0.02  # a prompt that so many rows share is an instruction to all of them, not a question
_FEW = 20
_NUMBERS = re.compile(r"\d+|(?<= )[-+*/=<>^\u00d7\u00f7](?= )")  # `2 + 3` is not nearly `2 - 3`


def exact_duplicates(case: Case) -> list[Finding]:
    rows = _later(case.whole, [entry.row.digest for entry in case.whole])
    first = _first(case.whole, [entry.row.digest for entry in case.whole])
    return by_file(
        "exact_duplicate",
        [(entry.row, entry.text) for entry in rows],
        "repeats an earlier row",
        lambda row: f"as row {first[row.digest].row.number}",
    )


def near_duplicates(case: Case) -> list[Finding]:
    exact = {id(entry) for entry in _later(case.whole, [entry.row.digest for entry in case.whole])}
    keys = [(number, *_NUMBERS.findall(entry.text)) for entry, number in zip(case.whole, case.near, strict=True)]
    later = [entry for entry in _later(case.whole, keys) if id(entry) not in exact]
    group = {id(entry.row): key for entry, key in zip(case.whole, keys, strict=True)}
    first = _first(case.whole, keys)
    return by_file(
        "near_duplicate",
        [(entry.row, entry.text) for entry in later],
        "is worded almost like another row (and holds the same numbers)",
        lambda row: f"near row {first[group[id(row)]].row.number}",
    )


def conflicting_answers(case: Case) -> list[Finding]:
    """One prompt, in the same words, with answers that differ in more than case, spaces and full stops."""
    asked: dict[str, list[Entry]] = defaultdict(list)
    for entry in case.whole:
        if entry.prompt and entry.answer:
            asked[_plain(entry.prompt)].append(entry)
    standing = max(_FEW, _STANDING * len(case.whole))
    found = []
    for entries in asked.values():
        if len(entries) > standing and not case.labels:
            continue
        if len({_plain(entry.answer) for entry in entries}) > 1 or _turned(entries):
            found += entries
    found.sort(key=lambda entry: (entry.row.file, entry.row.number))
    answers = {id(entry.row): entry.answer for entry in found}
    return by_file(
        "conflicting_answers",
        [(entry.row, entry.prompt) for entry in found],
        "one prompt stands with several different answers",
        lambda row: f"answered: {answers[id(row)][:60]}",
    )


def _turned(entries: Sequence[Entry]) -> bool:
    """A pair of answers that stands the other way round too."""
    better = {(_plain(entry.answer), _plain(other)) for entry in entries for other in entry.others}
    return any((b, a) in better for a, b in better)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(".!")


def _later(entries: Sequence[Entry], keys: Iterable[object]) -> list[Entry]:
    """-> the entries whose key came before."""
    seen: set[object] = set()
    found = []
    for entry, key in zip(entries, keys, strict=True):
        if key in seen:
            found.append(entry)
        seen.add(key)
    return found


def _first(entries: Sequence[Entry], keys: Iterable[object]) -> dict[object, Entry]:
    first: dict[object, Entry] = {}
    for entry, key in zip(entries, keys, strict=True):
        first.setdefault(key, entry)
    return first
