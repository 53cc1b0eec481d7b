"""Groups of near-duplicate rows: MinHash over runs of words, bands of them as hash keys, then the true overlap.

Broder 1997, "On the resemblance and containment of documents"; Leskovec, Rajaraman and Ullman,
"Mining of Massive Datasets", chapter 3.
"""

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import combinations, pairwise
from sys import intern
from typing import Any

import numpy as np

WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+")  # scripts without spaces: each sign is a word
RUN = 5
_DEPTHS = ((0.7, 16, 4), (0.0, 24, 3))
"""From which overlap on how many bands of how many hashes: 16 of 4 find a pair of overlap 0.8 with probability
1 - (1 - 0.8^4)^16 = 0.9998; 24 of 3 one of overlap 0.6 with 0.997."""
_CROWD = 40  # a bucket of more rows is compared along a chain, not in all pairs
_SOME = 2000  # rows hashed at once: what fits a processor's cache
_COMMON = 0.2  # a run that so many rows share is the data set's own wording, not a sign of copying

Hashes = np.ndarray  # (S,) uint64, distinct and sorted


def groups(values: Sequence[dict[str, Any]], overlap: float, run: int = RUN) -> list[int]:
    """-> for each row the number of its group; rows of one group are (near-)duplicates, directly or over others.

    The result does not depend on the order of the rows. `overlap`: Jaccard similarity of the sets of runs of `run`
    words, 0 to 1.
    """
    words = [words_of(" ".join(_texts(row))) for row in values]
    distinct = sorted(set(words))  # equal wording is one row from here on
    parent = list(range(len(distinct)))
    sets = _without_common([_runs(text, run) for text in distinct])
    for a, b in _candidates(sets, overlap):
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


def words_of(text: str) -> tuple[str, ...]:
    """-> its words in small letters. A word that stands in many texts is kept once."""
    return tuple(map(intern, WORD.findall(text.lower())))


def numbers_of(words: Sequence[str]) -> np.ndarray:
    """-> (W,) uint64, one number a word and never 0."""
    return np.array([_number(word) for word in words], dtype=np.uint64)


@lru_cache(maxsize=1_000_000)
def _number(word: str) -> int:
    return zlib.crc32(word.encode()) + 1


def run_hashes(numbers: np.ndarray, length: int) -> np.ndarray:
    """-> (W - length + 1,) uint64: the hash of each run of `length` words, in their order."""
    hashes = np.zeros(len(numbers) - length + 1, dtype=np.uint64)
    for k in range(length):
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + numbers[k : k + len(hashes)]
    return hashes ^ (hashes >> np.uint64(29))


def _runs(words: tuple[str, ...], run: int) -> Hashes:
    """-> the hashes of all runs of words; of a shorter text, one hash of all its words."""
    numbers = numbers_of(words) if words else np.zeros(1, dtype=np.uint64)
    return np.unique(run_hashes(numbers, min(run, len(numbers))))


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


def _candidates(sets: Sequence[Hashes], overlap: float) -> Iterable[tuple[int, int]]:
    bands, depth = next((bands, depth) for least, bands, depth in _DEPTHS if overlap >= least)
    signatures = _signatures(sets, bands * depth)
    for band in range(bands):
        keys = np.zeros(len(sets), dtype=np.uint64)
        for column in range(band * depth, (band + 1) * depth):
            keys = (keys ^ signatures[column]) * np.uint64(0x9E3779B97F4A7C15)
        order = np.argsort(keys, kind="stable")
        bounds = np.flatnonzero(np.diff(keys[order], prepend=~keys[order[:1]], append=~keys[order[-1:]]))
        for k in np.flatnonzero(np.diff(bounds) > 1):
            yield from _pairs(order[bounds[k] : bounds[k + 1]].tolist())


def _pairs(members: list[int]) -> Iterable[tuple[int, int]]:
    if len(members) <= _CROWD:
        yield from combinations(members, 2)
    else:
        yield from ((members[0], other) for other in members[1:])
        yield from pairwise(members)


def _signatures(sets: Sequence[Hashes], count: int) -> np.ndarray:
    """-> (count, N) uint64: the least of each set under each of `count` hash functions."""
    random = np.random.default_rng(0)
    factors = random.integers(1, 2**63, count, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    found = np.empty((count, len(sets)), dtype=np.uint64)
    for first in range(0, len(sets), _SOME):
        some = sets[first : first + _SOME]
        flat = np.concatenate(some)
        starts = np.cumsum([0, *map(len, some[:-1])])
        for k, factor in enumerate(factors):
            mixed = flat * factor
            mixed ^= mixed >> np.uint64(32)
            found[k, first : first + len(some)] = np.minimum.reduceat(mixed, starts)
    return found


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
