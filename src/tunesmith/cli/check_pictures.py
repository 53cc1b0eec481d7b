"""`tunesmith check FOLDER` of pictures: what a run would make of them, what is doubtful, and what is cut away."""

from collections.abc import Mapping
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunesmith.pictures.config import Pictures
    from tunesmith.pictures.gather import Gathered
    from tunesmith.pictures.prepare import PreparedPictures

SIZE, MULTIPLE = 512, 64  # of Stable Diffusion 1, where no base says otherwise


def holds_pictures(data: object) -> bool:
    """-> whether a recipe's `data`, as it was written, names a folder in which pictures lie and no rows."""
    from tunesmith.pictures.folder import visible
    from tunesmith.pictures.read import SUFFIXES

    train = data.get("train") if isinstance(data, Mapping) else data
    first = train[0] if isinstance(train, list | tuple) and train else train
    if not isinstance(first, str) or not Path(first).is_dir():
        return False
    folder = Path(first)
    rows = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
    return bool(visible(folder, SUFFIXES)) and not any((folder / f"train{suffix}").exists() for suffix in rows)


def check_pictures(values: Mapping[str, Any], sheet: Path | None, as_json: bool) -> None:
    """Look at the pictures of a recipe, as it was written. UserError, after all is said, when a run would stop."""
    from tunesmith.cli.ending import to_stderr
    from tunesmith.core.errors import UserError
    from tunesmith.core.files import dump
    from tunesmith.pictures.check import findings, sentence
    from tunesmith.pictures.gather import gather
    from tunesmith.pictures.prepare import prepared
    from tunesmith.pictures.sheet import contact_sheet

    config = _config(values["data"])
    say = to_stderr if as_json else print
    shape = _shape(values.get("base"))
    size = config.size or (shape[0] if shape else SIZE)
    multiple = shape[1] if shape else gcd(size, max(1, size // 8), MULTIPLE)
    if config.size is None and shape is None:
        say(f"note: the shapes are those of a base of {SIZE}x{SIZE} pixels; data.size=... for another one")
    found = gather(config, size=size, multiple=multiple, prompt=_prompt(values.get("objective")))
    doubts = findings(config, found)
    made = None if found.problems else prepared(config, found)
    if sheet is not None and (found.train or found.validation):
        contact_sheet([*found.train, *found.validation], sheet)
        say(f"contact sheet: {sheet}")
    if as_json:
        facts = {} if made is None else made.facts | {"said": made.said}
        rows = (
            len(found.train)
            + len(found.validation)
            + sum(p.kind in ("unreadable", "too_small") for p in found.problems)
        )
        print(dump({"rows": rows, "findings": doubts, "facts": facts}), end="")
    else:
        if made is not None:
            _print_made(made)
        print("\n".join(map(sentence, doubts)) or "nothing doubtful was found")
    if found.problems:
        raise UserError(f"{', '.join(config.sources)}: {_pictures(found)} would stop a run; each is named above")


def _shape(base: object) -> tuple[int, int] | None:
    """-> the edge of the pictures that the image model was made for, and what edges are multiples of; None: no name."""
    from tunesmith.catalogue.entries import paints

    if not isinstance(base, str) or not paints(base):
        return None

    from tunesmith.bases import resolve
    from tunesmith.models.diffusion.load import shape_of

    return shape_of(resolve(base).path)


def _config(data: object) -> "Pictures":
    from pydantic import ValidationError

    from tunesmith.core.errors import UserError, near
    from tunesmith.pictures.config import Pictures

    try:
        return Pictures.model_validate({"train": data} if isinstance(data, str) else data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise UserError(f"data.{key}: not a field of pictures{near(key, Pictures.model_fields)}") from None
        given = first.get("ctx", {}).get("error")
        raise UserError(str(given) if given else f"data.{key}: {first['msg'].lower()}") from None


def _prompt(objective: object) -> str | None:
    prompt = objective.get("prompt") if isinstance(objective, Mapping) else None
    return prompt if isinstance(prompt, str) else None


def _print_made(made: "PreparedPictures") -> None:
    facts = made.facts
    print("\n".join(line for line in made.said if not line.startswith("warning:")))  # findings say the same, in full
    edge = facts["shorter_edge"]
    print(f"\nshorter edge in pixels: least {edge['least']}, median {edge['median']}, most {edge['most']}")
    print("buckets (width x height): " + ", ".join(f"{name}: {count}" for name, count in facts["buckets"].items()))
    some = made.train[:: max(1, len(made.train) // 3)][:3]
    print("\n".join(f"{picture.path.name}: {picture.caption or 'no caption'}" for picture in some) + "\n")


def _pictures(found: "Gathered") -> str:
    count = len({problem.row for problem in found.problems})
    return "1 picture" if count == 1 else f"{count} pictures"
