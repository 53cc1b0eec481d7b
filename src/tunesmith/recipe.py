"""A recipe: the typed, frozen, complete description of a run. Equal recipes give equal runs."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import ErrorDetails

from tunesmith.catalogue.entries import paints
from tunesmith.core.config import Config
from tunesmith.core.errors import UserError, near
from tunesmith.core.layers import Quantization
from tunesmith.core.plain_yaml import StrictLoader, read_mapping
from tunesmith.data.config import Data
from tunesmith.evaluate.config import Evaluate
from tunesmith.methods import METHODS, AnyMethod
from tunesmith.methods.lora import LoRA
from tunesmith.methods.names import PRESETS, spelled_out
from tunesmith.objectives import OBJECTIVES, AnyObjective
from tunesmith.objectives.denoise import Denoise
from tunesmith.objectives.painting import Painting
from tunesmith.objectives.sft import SFT
from tunesmith.pictures.config import Pictures
from tunesmith.train.config import Train


class Recipe(Config):
    """What to train, on what, how, and where the result goes. `Recipe(...)` raises UserError for what cannot be."""

    base: str = "smollm2-135m"
    """A name of the catalogue, a folder of safetensors, a GGUF file, an image model in one safetensors file, or a hub
    id."""
    base_quantize: Quantization | None = None
    """Keep the frozen linear layers of the base in 4 bits (nf4) or 8 (int8) while the method trains. None: as they are.
    `method: qlora` stands for LoRA over nf4."""
    data: Data | Pictures
    """The rows. A path alone stands for `data.train`; a folder with train.* and test.* files for both. Where the
    objective learns pictures, the pictures."""
    method: AnyMethod = Field(default_factory=LoRA)
    """How the model may change. `method: lora` stands for `method.kind: lora`."""
    objective: AnyObjective = Field(default_factory=SFT)
    """What is learned."""
    train: Train = Field(default_factory=Train)
    """How long, how fast, and what is kept."""
    evaluate: Evaluate = Field(default_factory=Evaluate)
    """What is measured before and after."""
    output: str | None = None
    """The run folder. None: `runs/` and a name made of base, method, data and recipe."""
    allow_download: bool = False
    """Whether this run may fetch what is named and not on this machine yet. Otherwise it opens no connection at all."""

    if not TYPE_CHECKING:  # type checkers know the fields from pydantic

        def __init__(self, **values: Any) -> None:
            try:
                super().__init__(**_of_medium(spelled_out(values)))
            except ValidationError as error:
                raise UserError(_explained(error.errors()[0])) from error

    @field_validator("method", "objective", mode="before")
    @classmethod
    def _part_by_kind(cls, value: object, info: ValidationInfo) -> object:
        """A text is the kind; values without one are the default's."""
        if isinstance(value, str):
            return {"kind": value}
        if isinstance(value, dict) and "kind" not in value:
            return {"kind": "lora" if info.field_name == "method" else "sft"} | value
        return value

    @model_validator(mode="after")
    def _word_has_one_place(self) -> "Recipe":
        objective = self.objective if isinstance(self.objective, Painting) else None
        if self.method.bare and (objective is None or objective.word is None):
            raise ValueError(
                "method: token learns a new word and nothing else; name it, objective.token and objective.init"
            )
        if objective is None or objective.word is None:
            return self
        if self.method.bare and isinstance(objective, Denoise) and objective.given("token_rate"):
            raise ValueError(
                "objective.token_rate: with method=token the word gets train.learning_rate itself; remove it"
            )
        if self.method.bare and objective.text_encoder:
            raise ValueError("objective.text_encoder: with method=token nothing of the encoders learns but the word")
        if self.method.kind == "full" and objective.text_encoder:
            raise ValueError(
                "objective.text_encoder: full tuning would change the tables beside the new word; remove it"
            )
        return self

    @model_validator(mode="after")
    def _frozen_when_packed(self) -> "Recipe":
        reason = self.method.needs_dense
        if self.base_quantize is not None and reason is not None:
            kind = self.method.kind
            raise ValueError(f"base_quantize: {self.base_quantize} and method {kind} cannot be together, {reason}")
        return self

    @model_validator(mode="after")
    def _rows_apart_when_private(self) -> "Recipe":
        kind = self.objective.kind
        if self.train.privacy is None:
            return self
        if left := self.left_to_trial:
            raise ValueError(f"{left[0]}: auto trains on the rows before the privacy counts; give a number")
        if (reason := self.objective.mixes) is not None:
            raise ValueError(f"train.privacy: what one row does to objective={kind} cannot be bounded: {reason}")
        if self.method.reads_rows:
            method = self.method.kind
            raise ValueError(
                f"train.privacy: method {method} would begin with what training rows hold, before any noise; "
                + ("choose another start" if method == "lora" else "give method.text, words of your own")
            )
        return self

    @property
    def texts(self) -> Data:
        """The `data` section of a recipe that learns texts. Raises UserError where it learns pictures."""
        if not isinstance(self.data, Data):
            raise UserError(f"objective: {self.objective.kind} learns pictures, and what was asked is for texts")
        return self.data

    @property
    def pictures(self) -> Pictures:
        """The `data` section of a recipe that learns pictures. Raises UserError where it learns texts."""
        if not isinstance(self.data, Pictures):
            raise UserError(f"objective: {self.objective.kind} learns texts, and what was asked is for pictures")
        return self.data

    @property
    def asked(self) -> Evaluate:
        """What of `evaluate` can be asked of what this recipe makes."""
        return self.evaluate.of_ending(self.objective.ending)

    @property
    def left_to_trial(self) -> list[str]:
        """The keys whose value is `auto`, to be found by trials on validation rows."""
        given = {
            "method.rank": getattr(self.method, "rank", None),
            "train.learning_rate": self.train.learning_rate,
            "train.epochs": self.train.epochs,
        }
        return [key for key, value in given.items() if value == "auto"]

    @property
    def fingerprint(self) -> str:
        """sha256 of all that decides the result: everything but where it is written."""
        deciding = self.model_dump(mode="json", exclude={"output", "allow_download"})
        return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()

    @property
    def folder(self) -> Path:
        if self.output is not None:
            return Path(self.output)
        parts = (Path(self.base).stem, self.method.kind, Path(self.data.sources[0]).stem, self.fingerprint[:8])
        return Path("runs") / "-".join(re.sub(r"[^\w.]+", "_", part) for part in parts)

    def dumped(self) -> str:
        """The recipe as YAML, every value written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def read_recipe(path: Path | None, overrides: Sequence[str] = (), **given: Any) -> Recipe:
    """The recipe of a YAML file, then `given` top-level keys, then `key.sub=value` overrides.

    Raises UserError that names the key and, for a misspelt one, the nearest that exists.
    """
    return make_recipe(read_values(path, overrides, **given), origin=str(path) if path else "recipe")


def read_values(path: Path | None, overrides: Sequence[str] = (), **given: Any) -> dict[str, Any]:
    """As `read_recipe`, only what was written: plain values, none of them looked at."""
    values = read_mapping(path, "recipe", "base: smollm2-135m") if path else {}
    for key, value in given.items():
        _give(values, key, value)
    for text in overrides:
        _override(values, text)
    return values


def make_recipe(values: Mapping[str, Any], origin: str = "recipe") -> Recipe:
    """A recipe from plain values. Raises UserError instead of pydantic's error."""
    if "data" not in values:
        raise UserError(f"{origin}: `data` is missing; name a file of examples, for example data=examples.jsonl")
    try:
        return Recipe(**{str(key): value for key, value in values.items()})
    except UserError as error:
        raise UserError(f"{origin}: {error}") from error


def _of_medium(values: dict[str, Any]) -> dict[str, Any]:
    """Plain values with an objective that fits the base, and `data` as what the objective learns."""
    objective, base = values.get("objective"), values.get("base")
    if isinstance(base, str) and paints(base) and (objective is None or isinstance(objective, dict)):
        objective = {"kind": "denoise"} | (objective or {})
    kind = objective.get("kind", "sft") if isinstance(objective, dict) else getattr(objective, "kind", objective)
    found = OBJECTIVES.get(kind) if isinstance(kind, str) else None
    method = values.get("method") or (found.default_method if found else None)
    data = values.get("data")
    data = {"train": data} if isinstance(data, str) else data
    if isinstance(data, Mapping):
        painting = found is not None and found.eats == "pictures"
        data = _section("pictures" if painting else "texts", data)
    return {
        **values,
        **({} if method is None else {"method": method}),
        **({} if objective is None else {"objective": objective}),
        **({} if data is None else {"data": data}),
    }


def _section(medium: str, values: Mapping[str, Any]) -> BaseModel:
    """-> `data` as what one medium wants of it."""
    try:
        return MEDIA[medium].model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(_explained({**first, "loc": ("data", medium, *first["loc"])})) from error


SHORT = {"data": "train", "method": "kind", "objective": "kind"}
"""What a text stands for in the place of a section."""


def _give(values: dict[str, Any], key: str, value: Any) -> None:
    """Put an option in. Another `data` keeps the section's columns and template, another method none of its values."""
    below = values.get(key)
    if value is None:
        return
    if isinstance(below, dict) and isinstance(value, str) and (key == "data" or below.get("kind") == value):
        value = below | {SHORT[key]: value}
    values[key] = value


def _override(values: dict[str, Any], text: str) -> None:
    """Put `a.b=value` into nested `values`."""
    key, equals, written = text.partition("=")
    if not equals or not key.strip():
        raise UserError(f"`{text}` is no override; write key=value, for example method.rank=32")
    try:
        value = yaml.load(written, Loader=StrictLoader) if written else None
    except yaml.YAMLError as error:
        raise UserError(f"{key}: `{written}` is not a valid value: {' '.join(str(error).split())}") from error
    put(values, key.strip(), value)


def put(values: dict[str, Any], key: str, value: Any) -> None:
    """Set the dotted `key` in nested plain `values`; what is not there is made, a short form is spelled out."""
    *path, last = key.split(".")
    for part in path:
        below = values.get(part)
        if isinstance(below, str):  # a short form: `data: file` or `method: lora`
            below = {SHORT.get(part, "kind"): below}
        values[part] = below = dict(below) if isinstance(below, dict) else {}
        values = below
    values[last] = value


MEDIA: dict[str, type[BaseModel]] = {"texts": Data, "pictures": Pictures}
PARTS: dict[str, Mapping[str, type[BaseModel]]] = {"method": METHODS, "objective": OBJECTIVES, "data": MEDIA}
"""The sections that are one of several kinds."""
KINDS: dict[str, Mapping[str, Any]] = {"method": PRESETS, "objective": OBJECTIVES}
"""What may stand for them."""


def _explained(error: ErrorDetails) -> str:
    place = [str(part) for part in error["loc"]]
    key = ".".join(_without_tags(place))
    if error["type"] == "extra_forbidden":
        fields = _fields_at(place[:-1])
        kind = PARTS.get(place[0], {}).get(place[1]) if place[1:2] else None
        where = (
            kind.__name__.lower()
            if kind in MEDIA.values() and kind
            else kind.__name__
            if kind
            else ".".join(place[:-1]) or "a recipe"
        )
        return f"{key}: not a field of {where}{near(place[-1], fields)}"
    if error["type"] == "union_tag_invalid" and key in KINDS:
        name, known = str(error.get("ctx", {}).get("tag", "")), KINDS[key]
        return f"{key}.kind: no {key} is called `{name}`{near(name, known)}; known are {', '.join(known)}"
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return f"{key}.kind: {error['msg'][0].lower()}{error['msg'][1:]}"
    given = error.get("ctx", {}).get("error")
    message = str(given) if given else error["msg"][0].lower() + error["msg"][1:]
    if given and not key:
        return message
    value = error["input"]
    shown = f", not {value!r}" if isinstance(value, str | int | float | bool | type(None)) and not given else ""
    return message if message.startswith(f"{key}") else f"{key}: {message}{shown}"


def _without_tags(place: Iterable[str]) -> list[str]:
    """pydantic writes the chosen member of a union into the path: `method.lora.rank`."""
    parts = list(place)
    return [p for i, p in enumerate(parts) if not (i == 1 and p in PARTS.get(parts[0], {}))]


def _fields_at(place: Sequence[str]) -> list[str]:
    """The names of the fields of the configuration at a path of pydantic's."""
    here: type[BaseModel] = Recipe
    for part in place:
        below = METHODS.get(part) or OBJECTIVES.get(part) or MEDIA.get(part) or here.model_fields[part].annotation
        for one in (below, *get_args(below)):  # of a section that may be absent, the section
            if isinstance(one, type) and issubclass(one, BaseModel):
                here = one
    return list(here.model_fields)
