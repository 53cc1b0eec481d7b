"""Everything that a folder of pictures says of itself, and all that is wrong with it, not only the first of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tunesmith.core.errors import UserError
from tunesmith.core.files import sha256
from tunesmith.pictures.alike import Likeness, likeness
from tunesmith.pictures.buckets import Shape, enlarged, nearest, refuse_uneven, shapes
from tunesmith.pictures.captions import Captions, captions
from tunesmith.pictures.config import Pictures
from tunesmith.pictures.folder import Place, masks, namesakes, places, repeats, unread
from tunesmith.pictures.read import Opened, over, read_mask, read_picture

BLOWN_UP = 8  # a picture that would be enlarged so much holds nothing of what would be learned


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture that was opened, and what belongs to it."""

    place: Place
    row: int
    sha256: str
    height: int
    width: int
    bucket: Shape
    caption: str
    mask: Path | None
    mask_sha256: str | None
    repeats: int
    frames: int
    transparent: bool
    likeness: Likeness


class Problem(NamedTuple):
    """What stops a run."""

    kind: str
    row: int
    sentence: str  # names the file


@dataclass
class Gathered:
    """The pictures of each part, and what does not fit."""

    train: list[Seen] = field(default_factory=list)
    validation: list[Seen] = field(default_factory=list)  # of the recipe's own folder
    captions: Captions = field(default_factory=lambda: Captions("none"))
    shapes: tuple[Shape, ...] = ()
    problems: list[Problem] = field(default_factory=list)
    namesakes: list[list[Place]] = field(default_factory=list)
    unread: list[Path] = field(default_factory=list)
    orphan_masks: list[Path] = field(default_factory=list)


def gather(config: Pictures, *, size: int, multiple: int, prompt: str | None = None) -> Gathered:
    """-> what is there. UserError only for what leaves nothing to look at; single pictures become `problems`.

    `size` and `multiple`: the base's own edge, and what the edges of its pictures are multiples of.
    """
    edge = config.size or size
    refuse_uneven(edge, multiple)
    train = places(config.sources, but=(config.validation, config.masks))
    own = [] if config.validation is None else places([config.validation], but=(config.masks,))
    every = [*train, *own]
    made = Gathered(captions=captions(config, every, prompt))
    made.shapes = shapes(edge, multiple) if config.buckets else ((edge, edge),)
    made.namesakes = namesakes(every)
    made.unread = unread([*config.sources, *([config.validation] if config.validation else [])])
    covers = masks(every, config.masks)
    if config.masks is not None:
        made.orphan_masks = [p.path for p in places([config.masks]) if p.path not in covers.values()]
    counts = [*repeats(train, config.repeats), *[1] * len(own)]
    for row, (place, count) in enumerate(zip(every, counts, strict=True), start=1):
        seen = look(made, place, covers.get(place.path), row, count)
        if seen is not None:
            (made.train if row <= len(train) else made.validation).append(seen)
    return made


def look(made: Gathered, place: Place, cover: Path | None, row: int, count: int) -> Seen | None:
    try:
        opened = read_picture(place.path)
    except UserError as error:
        made.problems.append(Problem("unreadable", row, str(error)))
        return None
    width, height = opened.image.size
    shape = nearest(height, width, made.shapes)
    if (problem := _too_small(place.path, opened, shape)) is not None:
        made.problems.append(Problem("too_small", row, problem))
        return None
    if (wordless := made.captions.problems.get(place.path)) is not None:
        kind, sentence = wordless
        made.problems.append(Problem(kind, row, sentence))
    if cover is not None:
        try:
            read_mask(cover, opened.image.size)
        except UserError as error:
            made.problems.append(Problem("bad_mask", row, str(error)))
    return Seen(
        place,
        row,
        opened.sha256,
        height,
        width,
        shape,
        made.captions.of.get(place.path, ""),
        cover,
        None if cover is None else sha256(cover),
        count,
        opened.frames,
        opened.image.mode == "RGBA",
        likeness(over(opened.image, (255, 255, 255))),
    )


def _too_small(path: Path, opened: Opened, shape: Shape) -> str | None:
    width, height = opened.image.size
    if (scale := enlarged(height, width, shape)) <= BLOWN_UP:
        return None
    return (
        f"{path}: {width}x{height} pixels would be blown up {scale:.0f} times to fill {shape[1]}x{shape[0]}; "
        "give a larger picture, or remove it"
    )


def first_problem(problems: Sequence[Problem]) -> UserError:
    """-> the error that stops a run: the first problem, and how many more there are."""
    more = len(problems) - 1
    rest = f" (and {more} more: `tunesmith check` lists them)" if more else ""
    return UserError(problems[0].sentence + rest)
