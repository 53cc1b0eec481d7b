"""What a run folder holds, read so that a part that is missing or damaged is named instead of failing."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from tunesmith.report.document import RunResult

T = TypeVar("T")
Line = dict[str, Any]


@dataclass(slots=True)
class RunFiles:
    """The files of a run. None or empty where there is nothing to read; `missing` says why."""

    name: str
    result: RunResult | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)
    examples: list[dict[str, Any]] = field(default_factory=list)
    metrics: list[Line] = field(default_factory=list)
    timing: list[Line] = field(default_factory=list)
    samples: list[Line] = field(default_factory=list)  # of runs that learn from their own answers
    pictures: dict[str, Path] = field(default_factory=dict)  # grids of runs that learn pictures, by name
    prompts: list[str] = field(default_factory=list)  # of their rows
    levels: dict[str, Any] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> "RunFiles":
        found = cls(folder.resolve().name)
        found.result = found._take(folder / "result.json", RunResult.model_validate_json, None)
        found.recipe = found._take(folder / "recipe.yaml", _mapping_yaml, {})
        found.data = found._take(folder / "data.json", _mapping, {})
        found.evaluation = found._take(folder / "evaluation.json", _mapping, {})
        found.examples = found._take(folder / "examples.json", _examples, [])
        found.metrics = found._take(folder / "metrics.jsonl", _lines, [])
        found.timing = found._take(folder / "timing.jsonl", _lines, [])
        if (folder / "samples.jsonl").exists():
            found.samples = found._take(folder / "samples.jsonl", _lines, [])
        if (folder / "samples").is_dir():
            found._take_pictures(folder)
        if not found.evaluation and found.result is not None and found.result.evaluation is not None:
            found.evaluation = found.result.evaluation.model_dump()
        return found

    def _take_pictures(self, folder: Path) -> None:
        self.pictures = {path.stem: path for path in sorted((folder / "samples").glob("*.png"))}
        if (folder / "samples" / "prompts.json").is_file():
            self.prompts = self._take(folder / "samples" / "prompts.json", _texts, [])
        if (folder / "levels.json").is_file():
            self.levels = self._take(folder / "levels.json", _mapping, {})

    def _take(self, path: Path, parse: Callable[[str], T], otherwise: T) -> T:
        try:
            return parse(path.read_text())
        except FileNotFoundError:
            self.missing[path.name] = "is not in this folder"
        except OSError as error:
            self.missing[path.name] = f"cannot be read: {(error.strerror or str(error)).lower()}"
        except (ValueError, yaml.YAMLError, RecursionError):
            self.missing[path.name] = "cannot be understood: it is damaged, or of another version"
        return otherwise


def _mapping(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("not a mapping")
    return value


def _mapping_yaml(text: str) -> dict[str, Any]:
    value = yaml.safe_load(text)
    if not isinstance(value, dict):
        raise ValueError("not a mapping")
    return value


def _texts(text: str) -> list[str]:
    value = json.loads(text)
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError("not a list of texts")
    return value


def _examples(text: str) -> list[dict[str, Any]]:
    value = json.loads(text)
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise ValueError("not a list of mappings")
    return value


def _lines(text: str) -> list[Line]:
    """The whole lines: one that a kill cut short at the end is left out."""
    return [_mapping(line) for line in text.rpartition("\n")[0].splitlines()]
