"""From the recipe's `data` section to pictures of one subject or of many: find, open, caption, split, and say so."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith.core.errors import UserError
from tunesmith.pictures.alike import groups
from tunesmith.pictures.buckets import Shape, enlarged
from tunesmith.pictures.config import Pictures
from tunesmith.pictures.gather import Gathered, Seen, first_problem, gather
from tunesmith.pictures.held_out import FEWEST, held_out

SPOKEN = {
    "prompt": "one prompt for all of them",
    "files": "captions from .txt files",
    "metadata": "captions from metadata.jsonl",
    "names": "captions from their names",
    "none": "no captions",
}
_SIDES = re.compile(r"\b(left|right)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture and what is said of it; its pixels stay on the disk until `view` asks for them."""

    path: Path
    sha256: str
    caption: str
    width: int  # upright
    height: int
    bucket: Shape  # (H, W)
    mask: Path | None
    mask_sha256: str | None
    row: int  # from 1, for messages


@dataclass(frozen=True)
class PreparedPictures:
    """Everything that a run needs of the data."""

    train: list[Picture]  # repeated as the recipe says
    validation: list[Picture]
    facts: dict[str, Any]
    said: list[str]
    rejected: Mapping[int, Picture] = field(default_factory=dict)  # by the row of a pair whose better one is above


@dataclass(frozen=True)
class _Parts:
    train: list[Seen]
    validation: list[Seen]
    exact: int  # pictures whose bytes repeat another one's
    near: int  # pictures that look (almost) like another one, without the exact ones
    overlap: int  # pictures of the recipe's own validation folder that are like one that is learned


def prepare(config: Pictures, *, size: int, multiple: int, prompt: str | None = None) -> PreparedPictures:
    """-> the pictures of each part. `size` and `multiple`: the base's own edge, and what edges must be multiples of.

    `prompt` is the caption of all, unless `data.captions` names others. UserError names the file.
    """
    return prepared(config, gather(config, size=size, multiple=multiple, prompt=prompt))


def prepared(config: Pictures, found: Gathered) -> PreparedPictures:
    """-> as `prepare`, of what was gathered. UserError names the first problem."""
    if found.problems:
        raise first_problem(found.problems)
    parts = _parted(config, found)
    train = [picture for seen in parts.train for picture in [picture_of(seen)] * seen.repeats]
    validation = [picture_of(seen) for seen in parts.validation]
    facts = _facts(config, found, parts, train)
    return PreparedPictures(train, validation, facts, [*_said(config, found, parts, train), *_doubts(config, found)])


def picture_of(seen: Seen) -> Picture:
    return Picture(
        seen.place.path,
        seen.sha256,
        seen.caption,
        seen.width,
        seen.height,
        seen.bucket,
        seen.mask,
        seen.mask_sha256,
        seen.row,
    )


def _parted(config: Pictures, found: Gathered) -> _Parts:
    train = _limited(found.train, config.limit)
    group = groups([seen.likeness for seen in (*train, *found.validation)])
    digests = [seen.sha256 for seen in train]
    exact = len(train) - len(set(digests))
    alike = len(train) - len(set(group[: len(train)]))
    if found.validation:
        if {seen.sha256 for seen in found.validation} == set(digests):
            raise UserError(
                f"{config.validation}: data.validation holds the same pictures as data.train; "
                "it would judge what was learned"
            )
        known = set(group[: len(train)])
        overlap = sum(number in known for number in group[len(train) :])
        return _Parts(train, found.validation, exact, alike - exact, overlap)
    out = held_out(group, digests, config.split)
    kept = [seen for place, seen in enumerate(train) if place not in out]
    return _Parts(kept, [train[place] for place in sorted(out)], exact, alike - exact, 0)


def _limited(train: Sequence[Seen], limit: int | None) -> list[Seen]:
    if limit is None or limit >= len(train):
        return list(train)
    # The end of the hash: its beginning decides what is held out.
    chosen = {seen.row for seen in sorted(train, key=lambda seen: (seen.sha256[::-1], seen.row))[:limit]}
    return [seen for seen in train if seen.row in chosen]


def _facts(config: Pictures, found: Gathered, parts: _Parts, train: Sequence[Picture]) -> dict[str, Any]:
    every = [*parts.train, *parts.validation]
    shortest = sorted(min(seen.height, seen.width) for seen in every)
    return {
        "rows_read": len(found.train) + len(found.validation),
        "parts": {
            "train": {"rows": len(parts.train), "examples": len(train)},
            "validation": {"rows": len(parts.validation), "examples": len(parts.validation)},
        },
        "captions": found.captions.source,
        "without_caption": sum(not seen.caption for seen in every),
        "buckets": dict(sorted(Counter(name_of(seen.bucket) for seen in every).items())),
        "shorter_edge": {"least": shortest[0], "median": shortest[len(shortest) // 2], "most": shortest[-1]},
        "enlarged": sum(enlarged(seen.height, seen.width, seen.bucket) > 1 for seen in every),
        "duplicates": {"exact": parts.exact, "near": parts.near},
        "overlap": parts.overlap,
        "masks": sum(seen.mask is not None for seen in every),
        "transparent": sum(seen.transparent for seen in every),
        "animated": [str(seen.place.path) for seen in every if seen.frames > 1],
        "variants": config.kept,
        "sha256": _fingerprint(config, train),
    }


def name_of(shape: Shape) -> str:
    """-> a bucket as people write it: width first."""
    return f"{shape[1]}x{shape[0]}"


def _fingerprint(config: Pictures, train: Sequence[Picture]) -> str:
    """-> the sha256 of all that decides what is learned from: pictures, captions, order, and how they are cut."""
    about = [(p.sha256, p.caption, p.bucket, p.mask_sha256) for p in train]
    how = config.model_dump(mode="json", include={"crop", "flip", "background", "shuffle_captions", "keep_tags"})
    return hashlib.sha256(json.dumps([about, how, config.kept, config.caption_dropout]).encode()).hexdigest()


def _said(config: Pictures, found: Gathered, parts: _Parts, train: Sequence[Picture]) -> list[str]:
    count = len(found.train) + len(found.validation)
    said = [f"{', '.join(config.sources)}: {_pictures(count)}, {SPOKEN[found.captions.source]}"]
    if len(parts.train) + len(parts.validation) < count:
        said.append(f"data.limit: {config.limit} of {len(found.train)} pictures are used")
    if len(train) > len(parts.train):
        said.append(f"data.repeats: {len(parts.train)} pictures make {len(train)} examples of an epoch")
    if parts.exact or parts.near:
        said.append(f"{parts.exact} pictures repeat another one, {parts.near} more look almost like another one")
    if parts.validation:
        said.append(
            f"{len(parts.train)} pictures are learned, {len(parts.validation)} held out for the validation loss"
        )
    elif config.split:
        said.append(f"no picture is held out: fewer than {FEWEST} distinct ones, or all are alike")
    if parts.overlap:
        said.append(f"warning: {parts.overlap} pictures of data.validation are (almost) in data.train too")
    return said


def _doubts(config: Pictures, found: Gathered) -> list[str]:
    """-> what a person should know, and which settings have nothing to act on."""
    every = [*found.train, *found.validation]
    moving = [seen.place.path for seen in every if seen.frames > 1]
    small = [seen.place.path for seen in every if enlarged(seen.height, seen.width, seen.bucket) > 1]
    sided = [seen.place.path for seen in every if _SIDES.search(seen.caption)]
    bare = [seen.place.path for seen in every if config.masks is not None and seen.mask is None]
    doubts: list[tuple[Sequence[object], str]] = [
        (moving, "of several frames, the first one is used"),
        (small, "smaller than their bucket and enlarged"),
        (found.unread, "of a kind that is not opened, save them as PNG or JPEG"),
        (found.captions.orphans, "captions of no picture, they are not used"),
        (found.orphan_masks, "masks of no picture, they are not used"),
        (bare, "without a mask, all of them is learned"),
        (sided if config.flip else [], "mirrored by data.flip, and their captions say left or right"),
    ]
    said = [f"warning: {named(paths)}: {what}" for paths, what in doubts if paths]
    if config.crop == "random" and all(fits(seen) for seen in found.train):
        said.append("note: data.crop=random changes nothing, each picture has the shape of its bucket")
    if config.shuffle_captions and not any("," in seen.caption for seen in found.train):
        said.append("note: data.shuffle_captions changes nothing, no caption has parts between commas")
    if config.background != "white" and not any(seen.transparent for seen in every):
        said.append("note: data.background changes nothing, no picture is transparent")
    return said


def fits(seen: Seen) -> bool:
    """-> whether a picture fills its bucket without a rest of a pixel."""
    scale = enlarged(seen.height, seen.width, seen.bucket)
    return (round(seen.height * scale), round(seen.width * scale)) == seen.bucket


def named(things: Iterable[object]) -> str:
    """-> how many, and the first three."""
    names = list(map(str, things))
    return f"{len(names)} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"


def _pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count} pictures"
