"""What a comparison was asked for: `compare.yaml` of its folder, and the recipe of each run that follows from it.

Of pictures an entry may be METHOD+OBJECTIVE, as `lora+dreambooth`: each run then has an objective of its own.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from tunesmith.core.config import Config
from tunesmith.core.errors import UserError, near
from tunesmith.core.files import write_text
from tunesmith.methods.names import PRESETS
from tunesmith.objectives import OBJECTIVES
from tunesmith.recipe import Recipe, make_recipe

NAME, SCHEDULE = "compare.yaml", "schedule.json"  # what is asked for, and how much of it is run
OWN = ("learning_rate", "schedule", "warmup", "weight_decay", "betas", "clip", "tokens_per_pass")
"""Keys of `train` that a method may have for itself; all others are the same for every method."""
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_DEFAULT = "lora"  # what a recipe without a method means


class Asked(Config):
    """A comparison, before anything is measured."""

    recipe: dict[str, Any]
    """What all methods share: base, data, train, evaluate."""
    methods: tuple[str, ...]
    own: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """By method: its own values of `method` and `train`, and of `objective` where it has one of its own."""
    seeds: int = Field(3, ge=1, le=100)
    budget: float | None = None
    """Seconds for everything."""
    learning_curve: bool = False

    @property
    def folder(self) -> Path:
        """Where it goes when the recipe names no output."""
        if (output := self.recipe.get("output")) is not None:
            return Path(output)
        recipe = self.shared()
        sign = hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()[:8]
        parts = ("compare", Path(recipe.base).stem, Path(recipe.data.sources[0]).stem, sign)
        return Path("runs") / "-".join(re.sub(r"[^\w.]+", "_", part) for part in parts)

    @property
    def paints(self) -> bool:
        """Whether pictures are learned."""
        return self.shared().objective.eats == "pictures"

    def shared(self, **evaluate: Any) -> Recipe:
        """The recipe without its method's own values: what the base is measured by."""
        values = {k: v for k, v in self.recipe.items() if k not in ("output", "base_quantize")}
        return make_recipe(_with(values, {}, evaluate))

    def recipe_of(self, name: str, output: Path, *, train: Mapping[str, Any], **more: Any) -> Recipe:
        """The recipe of a run. `train` and `evaluate=`, `data=` in `more` are the comparison's. Raises UserError."""
        own = self.own.get(name, {})
        values = {**self.recipe, **{k: v for k, v in own.items() if k != "train"}, "output": str(output)}
        method, objective = _parts(name)
        values["method"] = {**own.get("method", {}), "kind": method}
        if objective:
            values["objective"] = {**_fitting(self.recipe.get("objective"), objective), **own.get("objective", {})}
        values["data"] = {**_data(values), **more.get("data", {})}
        return Recipe(**_with(values, {**own.get("train", {}), **train}, more.get("evaluate", {})))

    def seed(self, number: int) -> int:
        return int((self.recipe.get("train") or {}).get("seed") or 0) + number

    def claim(self, folder: Path) -> None:
        """Make `folder` this comparison's, or find that it is. Raises UserError when it is something else."""
        path, mine = folder / NAME, self.model_dump(mode="json")
        if not path.exists():
            if strangers := [p.name for p in folder.iterdir() if p.name != "run.lock"]:
                raise UserError(f"output: {folder} is not empty and no comparison ({strangers[0]} lies there)")
            write_text(path, yaml.safe_dump(mine, sort_keys=False, allow_unicode=True))
            return
        before = yaml.safe_load(path.read_text(encoding="utf-8"))
        others = [key for key in mine if not isinstance(before, dict) or before.get(key) != mine[key]]
        if others == ["budget"] and not (folder / SCHEDULE).exists():
            write_text(path, yaml.safe_dump(mine, sort_keys=False, allow_unicode=True))  # it was too small: another try
        elif others:
            raise UserError(
                f"output: {folder} holds a comparison with another `{others[0]}`; "
                "give the same command to go on, or choose another folder"
            )


def asked(
    values: Mapping[str, Any],
    methods: Sequence[str],
    own: Mapping[str, Mapping[str, Any]],
    *,
    seeds: int = 3,
    budget: float | None = None,
    learning_curve: bool = False,
) -> Asked:
    """A comparison of `methods` on the recipe `values`. `own`: what each recipe of a single method says.

    Settings of the recipe's own method, and its learning rate, are that method's alone. Raises UserError.
    """
    names = tuple(dict.fromkeys([*methods, *own]))
    if not names:
        raise UserError("--methods: name at least one method, for example lora,full")
    for name in names:
        _refuse_unknown(name)
    given = values.get("objective")
    kind = given.get("kind") if isinstance(given, Mapping) else given
    if kind in OBJECTIVES and OBJECTIVES[str(kind)].eats == "prompts":
        raise UserError(
            f"objective: methods are not compared by what {kind} makes of them yet; train one after the other"
        )
    _refuse_trials(values, own)
    common, theirs = _parted(values)
    settings = {name: _checked(name, given) for name, given in own.items()}
    for name, given in theirs.items():
        if name in names and name not in settings:
            settings[name] = given
    found = Asked(recipe=common, methods=names, own=settings, seeds=seeds, budget=budget, learning_curve=learning_curve)
    _refuse_medium(found)
    return found


def _parts(name: str) -> tuple[str, str]:
    """`lora+dreambooth` -> method and objective; without a plus the objective is empty."""
    method, _, objective = name.partition("+")
    return method, objective


def _refuse_unknown(name: str) -> None:
    method, objective = _parts(name)
    if method not in PRESETS:
        raise UserError(f"--methods: `{method}` is no method{near(method, PRESETS)}; known are {', '.join(PRESETS)}")
    painted = [kind for kind, one in OBJECTIVES.items() if one.eats == "pictures"]
    if "+" in name and objective not in painted:
        raise UserError(
            f"--methods: `{name}` must be METHOD or METHOD+OBJECTIVE, where the objective is one of "
            f"{', '.join(painted)}{near(objective, painted)}"
        )


def _refuse_medium(asked: Asked) -> None:
    """UserError for what is of texts alone, or of pictures alone."""
    mixed = [name for name in asked.methods if "+" in name]
    if asked.learning_curve and asked.paints:
        raise UserError("--learning-curve: of texts; to see what fewer pictures do, compare with data.limit")
    if mixed and not asked.paints:
        raise UserError(f"--methods: `{mixed[0]}` is of pictures, and the base or the objective is of texts")


def _fitting(shared: Any, kind: str) -> dict[str, Any]:
    """-> the objective `kind` with those values of the shared one that it reads."""
    values = dict(shared) if isinstance(shared, Mapping) else {}
    return {key: value for key, value in values.items() if key in OBJECTIVES[kind].model_fields} | {"kind": kind}


def _refuse_trials(values: Mapping[str, Any], own: Mapping[str, Mapping[str, Any]]) -> None:
    for given in (values, *own.values()):
        for section, key in (("train", "epochs"), ("method", "rank")):
            part = given.get(section)
            if isinstance(part, Mapping) and part.get(key) == "auto":
                raise UserError(f"{section}.{key}: auto is for a single run; a comparison needs a number")


def seconds_of(text: str, option: str = "--budget") -> float:
    """`20m`, `90s`, `1.5h` or minutes without a letter -> seconds. Raises UserError."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|m|h|sec|min|hours?)?\s*", text)
    if found is None or not float(found[1]):
        raise UserError(f"{option}: `{text}` is no time; write 20m, 90s or 1.5h")
    return float(found[1]) * _UNITS[(found[2] or "m")[0]]


def _parted(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """-> what a recipe says for all methods, and what it says for its own."""
    common = {key: value for key, value in values.items() if key != "method"}
    given = values.get("method") or {}
    method = {"kind": given} if isinstance(given, str) else dict(given)
    train = dict(common.get("train") or {})
    own = {key: train.pop(key) for key in ("learning_rate",) if train.get(key) is not None}
    if train or "train" in common:
        common["train"] = train
    name = method.pop("kind", _DEFAULT)
    found = {key: part for key, part in (("method", method), ("train", own)) if part}
    return common, {name: found} if found else {}


def _checked(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the recipe of one method may say: values of `method`, and some of `train`."""
    wanted, objective = _parts(name)
    allowed = (
        "method",
        "train",
        *(("objective",) if objective else ()),
        *(key for preset in PRESETS.values() for key in preset if key != "method"),
    )
    if others := [key for key in given if key not in allowed]:
        raise UserError(f"--recipe {name}: `{others[0]}` is the same for all methods; it belongs into the main recipe")
    method, train = given.get("method") or {}, given.get("train") or {}
    method = {"kind": method} if isinstance(method, str) else dict(method)
    if (kind := method.pop("kind", wanted)) != wanted:
        raise UserError(f"--recipe {name}: its method is {kind}; write --recipe {kind}=...")
    learned = given.get("objective") or {}
    learned = {"kind": learned} if isinstance(learned, str) else dict(learned)
    if (kind := learned.get("kind", objective)) != objective:
        raise UserError(f"--recipe {name}: its objective is {kind}; write --recipe {wanted}+{kind}=...")
    if others := [key for key in train if key not in OWN]:
        raise UserError(
            f"--recipe {name}: train.{others[0]} is the same for all methods{near(others[0], OWN)}; "
            "it belongs into the main recipe"
        )
    rest = {key: value for key, value in given.items() if key not in ("method", "train", "objective")}
    parts = {"method": method, "train": dict(train), "objective": learned}
    return {**{key: part for key, part in parts.items() if part}, **rest}


def _data(values: Mapping[str, Any]) -> dict[str, Any]:
    given = values.get("data")
    return {"train": given} if isinstance(given, str) else dict(given or {})


def _with(values: Mapping[str, Any], train: Mapping[str, Any], evaluate: Mapping[str, Any]) -> dict[str, Any]:
    parts = {"train": train, "evaluate": evaluate}
    return {**values, **{key: {**(values.get(key) or {}), **part} for key, part in parts.items()}}
