"""Training rows that say what a held-out row says: the same text, or thirteen words of it in a row.

Brown et al. 2020, "Language Models are Few-Shot Learners", appendix C: runs of 13 words, fewer in shorter texts, never
below 8. Runs that many rows share are the wording of the task and count for nothing; the same text always counts.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

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

_TOKEN = re.compile(rf"{WORD.pattern}|(?<= )[-+*/=<>^\u00d7\u00f7](?= )")  # `2 + 3` is another question than `2 - 3`

Numbers = np.ndarray  # (W,) uint64, one for each word of a text
Known = dict[int, Numbers]  # by the id of the row


def contamination(case: Case) -> list[Finding]:
    """-> for each held-out part and evaluation set the training rows that hold text of it."""
    found = []
    known = {id(entry.row): _numbers(entry.text) for entry in case.whole}
    for name, entries in case.own.items():
        held = [entry for entry in entries if entry.blank is None]
        found += _finding(case.whole, held, known, f"data.{name}")
    found += _across_the_split(case, known)
    for name, texts in case.yardsticks.items():
        hits = _shared([known[id(entry.row)] for entry in case.whole], [_numbers(text) for text in texts])
        hits |= _equal([entry.text for entry in case.whole], texts, 1)
        found += _told("contamination", case.whole, hits, name, len(texts))
    return found


def _across_the_split(case: Case, known: Known) -> list[Finding]:
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
            found += _finding(kept, entries, known, f"the {name} part that is split off", "split_overlap")
    return found


def _finding(
    train: Sequence[Entry], held: Sequence[Entry], known: Known, name: str, kind: str = "contamination"
) -> list[Finding]:
    hits = _shared([known[id(entry.row)] for entry in train], [_numbers(entry.text) for entry in held])
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


def _equal(train: Sequence[str], items: Sequence[str], least: int) -> dict[int, int]:
    """-> the same for equal texts of at least `least` words. What most items say is the task, not a question."""
    plain = [" ".join(text.casefold().split()) for text in items]
    counts = Counter(plain)
    most = max(_MANY_ITEMS, _ITEMS_SHARE * len(items))
    known = {text: n for n, text in enumerate(plain) if len(text.split()) >= least and counts[text] <= most}
    asked = (" ".join(text.casefold().split()) for text in train)
    return {place: known[text] for place, text in enumerate(asked) if text in known}


def _numbers(text: str) -> Numbers:
    return numbers_of(_TOKEN.findall(text.lower()))


def _shared(train: list[Numbers], items: list[Numbers]) -> dict[int, int]:
    """-> the places of the training texts that share a run with an item, each with the place of such an item."""
    lengths: dict[int, list[int]] = {}
    for place, words in enumerate(items):
        if len(words) >= LEAST:
            lengths.setdefault(min(RUN, len(words)), []).append(place)
    found: dict[int, int] = {}
    for length, places in lengths.items():
        found |= dict(_of_length(train, items, places, length))
    return found


def _of_length(train: list[Numbers], items: list[Numbers], places: list[int], length: int) -> Iterator[tuple[int, int]]:
    own = [np.unique(run_hashes(items[place], length)) for place in places]
    runs, owner, counts = _distinct(own, places, items)
    rows, which = _everywhere(train, runs, length)
    common = _rows_with(train, rows, which, len(runs)) > _many(train)
    common |= counts > max(_MANY_ITEMS, _ITEMS_SHARE * len(items))
    common |= _frayed(train, items, (runs, owner), np.unique(which[~common[which]]), length)
    for row, run in zip(rows.tolist(), which.tolist(), strict=True):
        if not common[run]:
            yield row, int(owner[run])


def _many(train: list[Numbers]) -> float:
    return max(_MANY_ROWS, _ROWS_SHARE * len(train))


def _frayed(
    train: list[Numbers], items: list[Numbers], known: tuple[np.ndarray, np.ndarray], some: np.ndarray, length: int
) -> np.ndarray:
    """-> whether a run begins or ends with eight words that many rows share: the edge of an instruction."""
    runs, owner = known
    frayed = np.zeros(len(runs), dtype=bool)
    ends = np.zeros((len(some), 2), dtype=np.uint64)
    for n, run in enumerate(some.tolist()):
        words = items[owner[run]]
        place = int(np.flatnonzero(run_hashes(words, length) == runs[run])[0])
        ends[n] = run_hashes(words[place : place + length], LEAST)[[0, length - LEAST]]
    if len(some):
        edges, which_edge = np.unique(ends, return_inverse=True)
        rows, which = _everywhere(train, edges, LEAST)
        often = _rows_with(train, rows, which, len(edges)) > _many(train)
        frayed[some] = often[which_edge.reshape(ends.shape)].any(axis=1)
    return frayed


def _everywhere(train: list[Numbers], runs: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """-> the places of the training texts that hold one of `runs`, and the places of these runs."""
    hits = [_found(train[first : first + _SOME], first, runs, length) for first in range(0, len(train), _SOME)]
    if not hits:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    return np.concatenate([row for row, _ in hits]), np.concatenate([run for _, run in hits])


def _rows_with(train: list[Numbers], rows: np.ndarray, which: np.ndarray, count: int) -> np.ndarray:
    """-> in how many different training texts each run stands."""
    if not len(rows):
        return np.zeros(count, dtype=np.int64)
    pairs = np.unique(np.stack([which, _alike(train, rows)]), axis=1)
    return np.bincount(pairs[0], minlength=count)


def _distinct(
    own: list[np.ndarray], places: list[int], items: list[Numbers]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """-> every run of the items once, with one item that holds it and in how many different items it stands."""
    seen: set[bytes] = set()
    flat, owner = [], []
    for hashes, place in zip(own, places, strict=True):
        if (text := items[place].tobytes()) not in seen:
            seen.add(text)
            flat.append(hashes)
            owner.append(np.full(len(hashes), place))
    runs, first, counts = np.unique(np.concatenate(flat), return_index=True, return_counts=True)
    return runs, np.concatenate(owner)[first], counts


def _alike(train: list[Numbers], rows: np.ndarray) -> np.ndarray:
    """-> one number for rows of the same text, so that a row that stands often counts once."""
    number: dict[bytes, int] = {}
    return np.array([number.setdefault(train[row].tobytes(), row) for row in rows.tolist()], dtype=np.int64)


def _found(some: Sequence[Numbers], first: int, runs: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """-> the places of the texts that hold one of `runs`, and the places of these runs."""
    sizes = np.array([len(one) for one in some])
    flat = np.concatenate(some)
    if len(flat) < length:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    hashes = run_hashes(flat, length)
    row = np.repeat(np.arange(len(sizes)), sizes)
    inside = row[: len(hashes)] == row[length - 1 :]  # no run goes over the end of a text
    place = np.minimum(np.searchsorted(runs, hashes), len(runs) - 1)
    hit = (runs[place] == hashes) & inside
    return row[: len(hashes)][hit] + first, place[hit]
