"""What a sweep was asked for: `sweep.yaml` of its folder, and the recipe of each trial that follows from it."""

import copy
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from tunesmith.core.config import Config
from tunesmith.core.errors import UserError
from tunesmith.core.files import write_text
from tunesmith.recipe import Recipe, make_recipe, put
from tunesmith.sweep.space import Dimension, metric_of, space_of, told

NAME = "sweep.yaml"
FIXED = ("recipe", "space")  # what a sweep that goes on must have in common with its beginning


class Asked(Config):
    """A sweep, before anything is tried."""

    recipe: dict[str, Any]
    """What all trials share."""
    space: tuple[str, ...]
    """What is searched, as it was written."""
    trials: int = Field(20, ge=1, le=10_000)
    time: float | None = None
    """Seconds for the trials."""
    workers: int = Field(1, ge=1, le=64)
    """Trials at one time."""

    @property
    def dimensions(self) -> list[Dimension]:
        return space_of(self.space)

    @property
    def metric(self) -> str:
        return metric_of(self.dimensions, self.base)

    @property
    def base(self) -> Recipe:
        """The recipe with the first value of each key."""
        return self.recipe_of({one.key: one.ends[0] for one in self.dimensions})

    @property
    def folder(self) -> Path:
        """Where it goes when the recipe names no output."""
        if (output := self.recipe.get("output")) is not None:
            return Path(str(output))
        recipe = self.base
        deciding = {key: self.model_dump(mode="json")[key] for key in FIXED}
        sign = hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:8]
        parts = ("sweep", Path(recipe.base).stem, Path(recipe.data.sources[0]).stem, sign)
        return Path("runs") / "-".join(re.sub(r"[^\w.]+", "_", part) for part in parts)

    def recipe_of(self, values: Mapping[str, Any], output: Path | None = None, *, trial: bool = False) -> Recipe:
        """The recipe with the values of a trial; as a `trial` it leaves the test rows alone. Raises UserError."""
        plain = copy.deepcopy(self.recipe)
        for key, value in values.items():
            put(plain, key, value)
        if trial:
            put(plain, "evaluate.enabled", False)
        return make_recipe(plain | {"output": None if output is None else str(output)})

    def refuse(self) -> None:
        """UserError where the recipe does not bear a key or an end of its range."""
        first = {one.key: one.ends[0] for one in self.dimensions}
        for one in self.dimensions:
            for value in one.ends:
                try:
                    self.recipe_of(first | {one.key: value})
                except UserError as error:
                    raise UserError(f"--set {told({one.key: value})}: {error}") from error
        assert self.metric

    def claim(self, folder: Path) -> None:
        """Make `folder` this sweep's, or find that it is. Raises UserError when it is something else."""
        path, mine = folder / NAME, self.model_dump(mode="json")
        if path.exists():
            before = yaml.safe_load(path.read_text(encoding="utf-8"))
            others = [key for key in FIXED if not isinstance(before, dict) or before.get(key) != mine[key]]
            if others:
                raise UserError(
                    f"output: {folder} holds a sweep with another `{others[0]}`; give the same command to go on (more "
                    "--trials and --time are welcome), or choose another folder"
                )
        elif strangers := [p.name for p in folder.iterdir() if p.name != "run.lock"]:
            raise UserError(f"output: {folder} is not empty and no sweep ({strangers[0]} lies there)")
        write_text(path, yaml.safe_dump(mine, sort_keys=False, allow_unicode=True))


def asked(
    values: Mapping[str, Any], space: Sequence[str], *, trials: int = 20, time: float | None = None, workers: int = 1
) -> Asked:
    """A sweep of the recipe `values`. Raises UserError for what cannot be."""
    if isinstance(values.get("train"), Mapping) and "auto" in values["train"].values():
        _refuse_auto(values["train"], space)
    found = Asked(
        recipe=json.loads(json.dumps(dict(values))), space=tuple(space), trials=trials, time=time, workers=workers
    )
    found.refuse()
    return found


def _refuse_auto(train: Mapping[str, Any], space: Sequence[str]) -> None:
    searched = {one.key for one in space_of(space)}
    for key in ("learning_rate", "epochs"):
        if train.get(key) == "auto" and f"train.{key}" not in searched:
            raise UserError(f"train.{key}: auto would search within each trial; give a number, or name it in --set")
