"""Training rows that say what a held-out row says: the same text, or thirteen words of it in a row.

Brown et al. 2020, "Language Models are Few-Shot Learners", appendix C: runs of 13 words, less of shorter texts but never
below 8. Runs that many rows share are the wording of the task and count for nothing; the same text always counts.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from tunesmith.core.errors import UserError
from tunesmith.data.duplicates import WORD, numbers_of, run_hashes
from tunesmith.doctor.case import Case
from tunesmith.doctor.entries import Entry
from tunesmith.doctor.finding import Finding, by_file

RUN, LEAST = 13, 8
_ASKED = 4  # a prompt of fewer words is no question that could be known by heart
_MANY_ROWS, _ROWS_SHARE = 8, 0.01
_MANY_ITEMS, _ITEMS_SHARE = 3, 0.2
_SOME = 2000

_TOKEN = re.compile(rf"{WORD.pattern}|(?<= )[-+*/=<>^×÷](?= )")  # `2 + 3` is another question than `2 - 3`

Words = tuple[str, ...]


def contamination(case: Case) -> list[Finding]:
    """-> for each held-out part and evaluation set the training rows that hold text of it."""
    found = []
    train = case.whole
    for name, entries in case.own.items():
        found += _finding(train, [e for e in entries if e.blank is None], f"data.{name}")
    found += _across_the_split(case)
    for name, texts in case.yardsticks.items():
        items = [_words(text) for text in texts]
        hits = _shared(train, items) | _equal([e.text for e in train], texts, 1)
        found += _told("contamination", train, hits, name, len(items))
    return found


def _across_the_split(case: Case) -> list[Finding]:
    try:
        parts = case.parts
    except UserError:
        return []  # rows that cannot be split: a run says so
    inside = {id(row) for row in parts.train}
    kept = [entry for entry in case.whole if id(entry.row) in inside]
    found = []
    for name, rows in (("validation", parts.validation), ("test", parts.test)):
        held = {id(row) for row in rows}
        if held and name not in case.own:
            entries = [entry for entry in case.whole if id(entry.row) in held]
            found += _finding(kept, entries, f"the {name} part that is split off", "split_overlap")
    return found


def _finding(train: Sequence[Entry], held: Sequence[Entry], name: str, kind: str = "contamination") -> list[Finding]:
    hits = _shared(train, [_words(entry.text) for entry in held])
    hits |= _equal([e.text for e in train], [e.text for e in held], 1)
    hits |= _equal([e.prompt for e in train], [e.prompt for e in held], _ASKED)
    return _told(kind, train, hits, name, len(held))


def _told(kind: str, train: Sequence[Entry], hits: dict[int, int], name: str, count: int) -> list[Finding]:
    items = len(set(hits.values()))
    return by_file(
        kind,
        [(train[place].row, train[place].text) for place in sorted(hits)],
        f"holds text of {name} (of {items} of its {count} rows): what judges would be learned",
        against=name,
    )


def _shared(train: Sequence[Entry], items: list[Words]) -> dict[int, int]:
    """-> the places of the training texts that share a run with an item, each with the place of such an item."""
    return dict(_shared_runs([_words(entry.text) for entry in train], items))


def _equal(train: Sequence[str], items: Sequence[str], least: int) -> dict[int, int]:
    """-> the same for equal texts of at least `least` words. What most items say is the task, not a question."""
    plain = [" ".join(text.casefold().split()) for text in items]
    counts = Counter(plain)
    most = max(_MANY_ITEMS, _ITEMS_SHARE * len(items))
    known = {text: n for n, text in enumerate(plain) if len(text.split()) >= least and counts[text] <= most}
    asked = (" ".join(text.casefold().split()) for text in train)
    return {place: known[text] for place, text in enumerate(asked) if text in known}


def _words(text: str) -> Words:
    return tuple(_TOKEN.findall(text.lower()))


def _shared_runs(train: list[Words], items: list[Words]) -> Iterator[tuple[int, int]]:
    """-> (place of a training text, place of an item) for each training text that shares a run."""
    lengths: dict[int, list[int]] = {}
    for place, words in enumerate(items):
        if len(words) >= LEAST:
            lengths.setdefault(min(RUN, len(words)), []).append(place)
    for length, places in lengths.items():
        yield from _of_length(train, items, places, length)


def _of_length(train: list[Words], items: list[Words], places: list[int], length: int) -> Iterator[tuple[int, int]]:
    own = [np.unique(run_hashes(numbers_of(items[place]), length)) for place in places]
    runs, owner, counts = _distinct(own, places, items)
    hits = [_found(train[first : first + _SOME], first, runs, length) for first in range(0, len(train), _SOME)]
    rows = np.concatenate([row for row, _ in hits]) if hits else np.zeros(0, dtype=np.int64)
    which = np.concatenate([run for _, run in hits]) if hits else np.zeros(0, dtype=np.int64)
    pairs = np.unique(np.stack([which, _alike(train, rows)]), axis=1) if len(rows) else np.zeros((2, 0), dtype=np.int64)
    in_rows = np.bincount(pairs[0], minlength=len(runs))
    common = (in_rows > max(_MANY_ROWS, _ROWS_SHARE * len(train))) | (
        counts > max(_MANY_ITEMS, _ITEMS_SHARE * len(items))
    )
    for row, run in zip(rows.tolist(), which.tolist(), strict=True):
        if not common[run]:
            yield row, int(owner[run])


def _distinct(
    own: list[np.ndarray], places: list[int], items: list[Words]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """-> every run of the items once, with one item that holds it and in how many different items it stands."""
    seen: set[Words] = set()
    flat, owner = [], []
    for hashes, place in zip(own, places, strict=True):
        if items[place] not in seen:
            seen.add(items[place])
            flat.append(hashes)
            owner.append(np.full(len(hashes), place))
    runs, first, counts = np.unique(np.concatenate(flat), return_index=True, return_counts=True)
    return runs, np.concatenate(owner)[first], counts


def _alike(train: list[Words], rows: np.ndarray) -> np.ndarray:
    """-> one number for rows of the same text, so that a row that stands often counts once."""
    number: dict[Words, int] = {}
    return np.array([number.setdefault(train[row], row) for row in rows.tolist()], dtype=np.int64)


def _found(some: Iterable[Words], first: int, runs: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """-> the places of the texts that hold one of `runs`, and the places of these runs."""
    numbers = [numbers_of(words) for words in some]
    sizes = np.array([len(one) for one in numbers])
    flat = np.concatenate(numbers)
    if len(flat) < length:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    hashes = run_hashes(flat, length)
    row = np.repeat(np.arange(len(sizes)), sizes)
    inside = row[: len(hashes)] == row[length - 1 :]  # no run goes over the end of a text
    place = np.minimum(np.searchsorted(runs, hashes), len(runs) - 1)
    hit = (runs[place] == hashes) & inside
    return row[: len(hashes)][hit] + first, place[hit]
