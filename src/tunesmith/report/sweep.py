"""`sweep.json`: what a search for settings tried, what was best, and what it is worth on the test rows."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from tunesmith.core.files import write_json
from tunesmith.report.document import Evaluated, Part

NAME = "sweep.json"
Plain = str | int | float | bool | None


class Axis(Part):
    """A key that was searched."""

    key: str
    space: str
    """As it was asked for."""
    choices: list[Plain] | None = None
    low: float | None = None
    high: float | None = None
    log: bool = False


class SweepTrial(Part):
    number: int
    values: dict[str, Plain]
    ending: Literal["finished", "pruned", "failed"]
    result: float | None = None
    """The metric on the validation rows, of the weights that were kept; null where it did not come to its end."""
    validations: list[float] = Field(default_factory=list)
    """The metric at each."""
    why: str = ""
    """Why it was pruned or failed."""
    seconds: float = 0.0


class Best(Part):
    trial: int
    values: dict[str, Plain]
    result: float
    recipe: str
    """The file of the recipe, in the sweep's folder."""
    run: str
    """Its run folder."""


class Sweep(Part):
    base: str
    data: str
    method: str
    objective: str
    metric: str
    """What trials are ranked by, on validation rows."""
    higher_is_better: bool
    axes: list[Axis]
    trials: list[SweepTrial]
    best: Best
    importance: dict[str, float] | None = None
    """The share of each key in what makes a trial good; null where there are too few trials to say."""
    evaluation: Evaluated | None = None
    """The winner on the test rows; null where it was not measured."""
    tested: int = 0
    """How many winners have been measured on the test rows: more than one, and the last number is a little rosy."""
    seconds: float
    notes: list[str] = Field(default_factory=list)

    def write(self, folder: Path) -> None:
        write_json(folder / NAME, self.document())

    def document(self) -> dict[str, Any]:
        return self.model_dump(mode="json")

    @classmethod
    def read(cls, folder: Path) -> "Sweep":
        return cls.model_validate(json.loads((folder / NAME).read_text(encoding="utf-8")))

    @property
    def finished(self) -> list[SweepTrial]:
        """Best first."""
        known = [trial for trial in self.trials if trial.result is not None]
        return sorted(
            known, key=lambda t: (-(t.result or 0.0) if self.higher_is_better else (t.result or 0.0), t.number)
        )
