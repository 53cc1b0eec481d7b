"""Groups of near-duplicate rows: MinHash over runs of five words, bands of them as hash keys, then the true overlap.

Broder 1997, "On the resemblance and containment of documents"; Leskovec, Rajaraman and Ullman,
"Mining of Massive Datasets", chapter 3.
"""

import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations, pairwise
from typing import Any

import numpy as np

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+")  # scripts without spaces: each sign is a word
_RUN = 5
_BANDS, _DEPTH = 16, 4  # finds a pair of overlap 0.8 with probability 1 - (1 - 0.8^4)^16 = 0.9998
_CROWD = 40  # a bucket of more rows is compared along a chain, not in all pairs
_COMMON = 0.2  # a run that so many rows share is the data set's own wording, not a sign of copying

Hashes = np.ndarray  # (S,) uint64, distinct and sorted


def groups(values: Sequence[dict[str, Any]], overlap: float) -> list[int]:
    """-> for each row the number of its group; rows of one group are (near-)duplicates, directly or over others.

    The result does not depend on the order of the rows. `overlap`: Jaccard similarity of the sets of runs, 0 to 1.
    """
    words = [tuple(_WORD.findall(" ".join(_texts(row)).lower())) for row in values]
    distinct = sorted(set(words))  # equal wording is one row from here on
    parent = list(range(len(distinct)))
    sets = _without_common([_runs(text) for text in distinct])
    for a, b in _candidates(sets):
        if _root(parent, a) != _root(parent, b) and _jaccard(sets[a], sets[b]) >= overlap:
            parent[max(_root(parent, a), _root(parent, b))] = min(_root(parent, a), _root(parent, b))
    place = {text: _root(parent, n) for n, text in enumerate(distinct)}
    return [place[text] for text in words]


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        for name in sorted(value, key=str):
            yield from _texts(value[name])
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)
    elif value is not None:
        yield str(value)


def _runs(words: tuple[str, ...]) -> Hashes:
    """-> the hashes of all runs of five words; of a shorter text, one hash of all its words."""
    numbers = np.array([zlib.crc32(word.encode()) + 1 for word in words] or [0], dtype=np.uint64)
    length = min(_RUN, len(numbers))
    hashes = np.zeros(len(numbers) - length + 1, dtype=np.uint64)
    for k in range(length):
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + numbers[k : k + len(hashes)]
    hashes ^= hashes >> np.uint64(29)
    return np.unique(hashes)


def _without_common(sets: list[Hashes]) -> list[Hashes]:
    if len(sets) < 20:
        return sets
    runs, counts = np.unique(np.concatenate(sets), return_counts=True)
    common = runs[counts > _COMMON * len(sets)]
    if not len(common):
        return sets
    return [_or_whole(runs[~np.isin(runs, common)], runs) for runs in sets]


def _or_whole(kept: Hashes, runs: Hashes) -> Hashes:
    """A row of nothing but common wording is a near-duplicate only of rows with exactly the same runs."""
    if len(kept):
        return kept
    return np.array([zlib.crc32(runs.tobytes())], dtype=np.uint64)


def _candidates(sets: Sequence[Hashes]) -> Iterable[tuple[int, int]]:
    buckets: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    random = np.random.default_rng(0)
    factors = random.integers(1, 2**63, _BANDS * _DEPTH, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    for n, hashes in enumerate(sets):
        mixed = hashes[:, None] * factors  # (S, 64)
        signature = (mixed ^ (mixed >> np.uint64(32))).min(axis=0)
        for band in range(_BANDS):
            buckets[band, signature[band * _DEPTH : (band + 1) * _DEPTH].tobytes()].append(n)
    for members in buckets.values():
        if len(members) <= _CROWD:
            yield from combinations(members, 2)
        else:
            yield from ((members[0], other) for other in members[1:])
            yield from pairwise(members)


def _jaccard(a: Hashes, b: Hashes) -> float:
    shared = len(np.intersect1d(a, b, assume_unique=True))
    return shared / (len(a) + len(b) - shared)


def _root(parent: list[int], n: int) -> int:
    while parent[n] != n:
        parent[n] = parent[parent[n]]
        n = parent[n]
    return n


def repeats(keys: Iterable[object]) -> int:
    """-> how many of the keys are not the first of their kind."""
    return sum(count - 1 for count in Counter(keys).values())
