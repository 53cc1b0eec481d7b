"""Train, validation and test by content: the order of rows changes nothing, near-duplicates stay together."""

from collections.abc import Sequence
from dataclasses import dataclass

from tunesmith.core.errors import UserError
from tunesmith.data.config import Data
from tunesmith.data.duplicates import groups, repeats
from tunesmith.data.rows import Row

_WHOLE = 2**64


@dataclass(frozen=True)
class Parts:
    """The rows of each part in the order of their files."""

    train: list[Row]
    validation: list[Row]
    test: list[Row]
    exact: int  # rows of `train`'s file that repeat another one
    near: int  # rows that are worded (almost) like another one, without the exact ones


def parted(rows: Sequence[Row], fractions: tuple[float, float, float], overlap: float) -> Parts:
    """-> `rows` in three parts. A group of near-duplicates goes where the least hash of its rows says.

    A part that is asked for is never empty; UserError when there are too few distinct rows for that.
    """
    refuse_identical(rows)
    group = groups([row.values for row in rows], overlap)
    exact = repeats(row.digest for row in rows)
    least: dict[int, str] = {}
    for row, number in zip(rows, group, strict=True):
        least[number] = min(least.get(number, row.digest), row.digest)
    place = _places(list(least.values()), fractions, rows[0].file)
    part: list[list[Row]] = [[], [], []]
    for row, number in zip(rows, group, strict=True):
        part[place[least[number]]].append(row)
    return Parts(part[0], part[1], part[2], exact, repeats(group) - exact)


def fractions(config: Data) -> tuple[float, float, float]:
    """-> the shares of data.train; a part that has its own file is not split off."""
    train, validation, test = config.split
    validation, test = 0 if config.validation else validation, 0 if config.test else test
    whole = train + validation + test
    return train / whole, validation / whole, test / whole


def _places(digests: list[str], fractions: tuple[float, float, float], file: str) -> dict[str, int]:
    """-> for each group's hash the number of its part: from 0 up come test, validation, train."""
    ordered = sorted(digests)
    bounds = (fractions[2], fractions[2] + fractions[1])
    place = {d: 2 if _share(d) < bounds[0] else 1 if _share(d) < bounds[1] else 0 for d in ordered}
    wanted = [k for k in range(3) if fractions[k] > 0]
    if len(ordered) < len(wanted):
        raise UserError(
            f"{file}: {len(ordered)} distinct rows are too few to split into {len(wanted)} parts; "
            "give more rows, or own files as data.validation and data.test"
        )
    for part in wanted:
        if part not in place.values():  # few rows: the hash alone left it empty
            counts = [sum(p == k for p in place.values()) for k in range(3)]
            largest = counts.index(max(counts))
            donors = [digest for digest in ordered if place[digest] == largest]
            place[donors[0] if part > largest else donors[-1]] = part
    return place


def _share(digest: str) -> float:
    return int(digest[:16], 16) / _WHOLE


def refuse_identical(rows: Sequence[Row]) -> None:
    """UserError when there is but one row, many times."""
    if len(rows) > 1 and len({row.digest for row in rows}) == 1:
        raise UserError(f"{rows[0].file}: all {len(rows)} rows are the same; there is nothing to learn")


def refuse_equal(train: Sequence[Row], other: Sequence[Row], name: str) -> None:
    """UserError when a part that should judge holds the same rows as `train`."""
    if {row.digest for row in train} == {row.digest for row in other}:
        raise UserError(
            f"{other[0].file}: data.{name} holds the same rows as data.train; it would judge what was learned"
        )


def shared(train: Sequence[Row], other: Sequence[Row], overlap: float) -> tuple[int, int]:
    """-> how many rows of `other` stand in `train`, and how many more have a near-duplicate there."""
    group = groups([row.values for row in (*train, *other)], overlap)
    known, near = {row.digest for row in train}, set(group[: len(train)])
    exact = sum(row.digest in known for row in other)
    return exact, sum(number in near for number in group[len(train) :]) - exact


def limited(rows: Sequence[Row], limit: int | None) -> list[Row]:
    """-> at most `limit` rows, chosen by content, in their order."""
    if limit is None or limit >= len(rows):
        return list(rows)
    # The end of the hash: its beginning decides the part of a split.
    chosen = {id(row) for row in sorted(rows, key=lambda row: (row.digest[::-1], row.file, row.number))[:limit]}
    return [row for row in rows if id(row) in chosen]
