"""Pairs of pictures, of which one is better: lines of `metadata.jsonl` with `chosen`, `rejected` and `text`."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tunesmith.core.errors import UserError
from tunesmith.core.text import parsed, read_text
from tunesmith.pictures.alike import groups
from tunesmith.pictures.buckets import refuse_uneven, shapes
from tunesmith.pictures.captions import METADATA, Captions, one_line, whole
from tunesmith.pictures.config import Pictures
from tunesmith.pictures.folder import Place
from tunesmith.pictures.gather import Gathered, Seen, first_problem, look
from tunesmith.pictures.held_out import FEWEST, held_out
from tunesmith.pictures.prepare import Picture, PreparedPictures, name_of, picture_of

KEYS = ("chosen", "rejected", "text")
SIDES = KEYS[:2]


@dataclass(frozen=True, slots=True)
class _Pair:
    chosen: Seen
    rejected: Seen


def prepare_pairs(config: Pictures, *, size: int, multiple: int) -> PreparedPictures:
    """-> the better pictures of each part, and the worse one of each by its row. UserError names file and line.

    The worse picture is cut to the shape of the better one, for both get the same noise.
    """
    _refuse_unread(config)
    edge = config.size or size
    refuse_uneven(edge, multiple)
    made = Gathered(shapes=shapes(edge, multiple) if config.buckets else ((edge, edge),))
    train = _pairs(config.sources, made, 1)
    own = _pairs([config.validation], made, len(train) + 1) if config.validation else []
    if made.problems:
        raise first_problem(made.problems)
    kept, out = (train, own) if own else _parted(train, config.split)
    every = [*kept, *out]
    return PreparedPictures(
        [picture_of(pair.chosen) for pair in kept],
        [picture_of(pair.chosen) for pair in out],
        _facts(config, kept, out),
        _said(config, kept, out),
        {pair.rejected.row: _cut_alike(pair) for pair in every},
    )


def _cut_alike(pair: _Pair) -> Picture:
    return replace(picture_of(pair.rejected), bucket=pair.chosen.bucket)


def _refuse_unread(config: Pictures) -> None:
    if config.captions not in ("auto", "metadata"):
        raise UserError(f"data.captions: pairs say their captions in {METADATA}; remove it")
    for name in ("masks", "limit"):
        if getattr(config, name) is not None:
            raise UserError(f"data.{name}: not read for pairs of pictures; remove it")
    if config.repeats != 1:
        raise UserError("data.repeats: not read for pairs of pictures; remove it")


def _pairs(folders: Sequence[str], made: Gathered, first: int) -> list[_Pair]:
    """-> the pairs of all tables, numbered from `first`. A picture that cannot be used is a problem in `made`."""
    found: list[_Pair] = []
    known: dict[tuple[Path, Path], str] = {}
    for where, paths, text in (entry for folder in map(Path, folders) for entry in _entries(folder)):
        if (before := known.get(paths) or known.get(paths[::-1])) is not None:
            raise UserError(f"{where}: these two pictures are a pair of {before} already; keep one of the lines")
        known[paths] = where
        made.captions = Captions("metadata", dict.fromkeys(paths, text))
        chosen, rejected = (look(made, Place(path, ""), None, first + len(known) - 1, 1) for path in paths)
        if chosen is not None and rejected is not None:
            if chosen.sha256 == rejected.sha256:
                raise UserError(f"{where}: chosen and rejected are the same picture; one must be better")
            found.append(_Pair(chosen, rejected))
    return found


def _entries(folder: Path) -> Iterator[tuple[str, tuple[Path, Path], str]]:
    """-> of each line its place, its two pictures, and what it says of both."""
    table = folder / METADATA
    if not table.is_file():
        raise UserError(
            f"{folder}: holds no {METADATA}; pairs are lines of it, "
            '{"chosen": "a.png", "rejected": "b.png", "text": "..."}'
        )
    lines = [(number, line) for number, line in enumerate(read_text(table).split("\n"), start=1) if line.strip()]
    for number, line in lines:
        where = f"{table}, line {number}"
        value = _entry(parsed(line, table, number), where)
        yield (
            where,
            (_there(folder, value, "chosen", where), _there(folder, value, "rejected", where)),
            one_line(value["text"]),
        )


def _entry(value: Any, where: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise UserError(f"{where}: must be an object with {', '.join(KEYS)}")
    for key in KEYS:
        if not isinstance(value.get(key), str):
            there = ", ".join(map(str, value)) or "nothing"
            raise UserError(f"{where}: `{key}` must be a text; the line holds {there}")
        if "\0" in value[key] or not whole(value[key]):
            raise UserError(f"{where}: `{key}` holds a NUL or half a character (a lone surrogate)")
    return value


def _there(folder: Path, value: dict[str, str], key: str, where: str) -> Path:
    path = folder / value[key]
    if not path.is_file():
        raise UserError(f"{where}: `{key}` names {value[key]!r}, which is not in {folder}")
    return path


def _parted(pairs: list[_Pair], share: float) -> tuple[list[_Pair], list[_Pair]]:
    """-> learned and held out: pairs that share a picture, or have like ones, stay together."""
    group = groups([seen.likeness for pair in pairs for seen in (pair.chosen, pair.rejected)])
    for place in range(len(pairs)):
        first, second = sorted((group[2 * place], group[2 * place + 1]))
        group = [first if number == second else number for number in group]
    out = held_out(group[::2], [pair.chosen.sha256 + pair.rejected.sha256 for pair in pairs], share)
    kept = [pair for place, pair in enumerate(pairs) if place not in out]
    return kept, [pairs[place] for place in sorted(out)]


def _facts(config: Pictures, kept: Sequence[_Pair], out: Sequence[_Pair]) -> dict[str, Any]:
    every = [*kept, *out]
    about = [
        [(seen.sha256, pair.chosen.caption, pair.chosen.bucket) for seen in (pair.chosen, pair.rejected)]
        for pair in kept
    ]
    how = config.model_dump(mode="json", include={"crop", "flip", "background", "shuffle_captions", "keep_tags"})
    text = json.dumps([about, how, config.kept, config.caption_dropout])
    return {
        "rows_read": len(every),
        "parts": {
            "train": {"rows": len(kept), "examples": len(kept)},
            "validation": {"rows": len(out), "examples": len(out)},
        },
        "captions": "metadata",
        "without_caption": sum(not pair.chosen.caption for pair in every),
        "buckets": dict(sorted(Counter(name_of(pair.chosen.bucket) for pair in every).items())),
        "variants": config.kept,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }


def _said(config: Pictures, kept: Sequence[_Pair], out: Sequence[_Pair]) -> list[str]:
    said = [f"{', '.join(config.sources)}: {len(kept) + len(out)} pairs of pictures, captions from {METADATA}"]
    if out:
        said.append(f"{len(kept)} pairs are learned, {len(out)} held out for the validation loss")
    elif config.split:
        said.append(f"no pair is held out: fewer than {FEWEST} distinct ones, or all are alike")
    other = sum(
        (pair.rejected.height, pair.rejected.width) != (pair.chosen.height, pair.chosen.width) for pair in (*kept, *out)
    )
    if other:
        said.append(f"note: {other} rejected pictures have another size, and are cut to the shape of the chosen ones")
    return said
