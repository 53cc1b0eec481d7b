"""Writes docs/reference/ from the types: every key of a recipe with its default and its meaning, and `result.json`."""

import re
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from tunesmith.data.config import Data
from tunesmith.evaluate.config import Evaluate
from tunesmith.methods import METHODS
from tunesmith.objectives import OBJECTIVES
from tunesmith.pictures.config import Pictures
from tunesmith.recipe import Recipe
from tunesmith.report.document import RunResult
from tunesmith.train.config import Train

FOLDER = Path(__file__).parents[1] / "docs" / "reference"


def recipe_page() -> str:
    """-> the whole recipe as one page of tables."""
    parts = ["# The recipe", "", _first(Recipe), "", *_table(Recipe, "")]
    for title, name, kind in (
        ("`data`, of texts", "data", Data),
        ("`data`, of pictures", "data", Pictures),
        ("`train`", "train", Train),
        ("`evaluate`", "evaluate", Evaluate),
    ):
        parts += [f"## {title}", "", _first(kind), "", *_table(kind, f"{name}.")]
    for kind_name, method in METHODS.items():
        parts += [f"## `method.kind: {kind_name}`", "", _first(method), "", *_table(method, "method.")]
    for kind_name, objective in OBJECTIVES.items():
        parts += [f"## `objective.kind: {kind_name}`", "", _first(objective), "", *_table(objective, "objective.")]
    return "\n".join(parts).rstrip() + "\n"


def result_page() -> str:
    """-> `result.json` as one page of tables."""
    parts = ["# `result.json`", "", "Keys are added with time, never renamed or removed.", "", *_table(RunResult, "")]
    for name, field in RunResult.model_fields.items():
        kinds = [k for k in _models(field.annotation) if k is not RunResult]
        for kind in kinds:
            parts += [f"## `{name}`", "", *_table(kind, f"{name}.")]
    return "\n".join(parts).rstrip() + "\n"


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [k for inner in getattr(annotation, "__args__", ()) for k in _models(inner)]


def _first(kind: type[BaseModel]) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]


def _table(kind: type[BaseModel], above: str) -> list[str]:
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for name, field in kind.model_fields.items():
        text = " ".join((field.description or "").split()).replace("|", "\\|")
        rows.append(f"| `{above}{name}` | {_type(field.annotation)} | {_default(field)} | {text} |")
    return [*rows, ""]


def _type(annotation: Any) -> str:
    name = annotation.__name__ if isinstance(annotation, type) and not hasattr(annotation, "__args__") else None
    text = name or str(annotation).replace("typing.", "").replace("tunesmith.", "")
    text = text.rsplit(".", 1)[-1] if text.count(".") and "[" not in text and "|" not in text else text
    text = re.sub(r"Optional\[(.*)\]$", r"\1 | None", text)
    return "`" + text.replace("NoneType", "None").replace("|", "\\|") + "`"


def _default(field: Any) -> str:
    if field.default_factory is not None:
        value = field.default_factory()
        if hasattr(value, "kind"):
            return f"`{value.kind}`"
        return "see below" if isinstance(value, BaseModel) else f"`{value}`"
    return "required" if field.default is PydanticUndefined else f"`{field.default}`"


PAGES = {"recipe.md": recipe_page, "result.md": result_page}


def main() -> None:
    """Write the pages; with `--check` only compare, and exit with 1 when one is out of date."""
    stale = [n for n, page in PAGES.items() if not (FOLDER / n).is_file() or (FOLDER / n).read_text() != page()]
    if "--check" in sys.argv:
        sys.exit(f"out of date: {', '.join(stale)}; run `make docs`" if stale else 0)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page())


if __name__ == "__main__":
    main()
