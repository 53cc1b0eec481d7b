"""What is searched: `--set key=...` for each key, as choices or as a range.

train.learning_rate=log(1e-5,1e-3)    any number, evenly by its logarithm
method.rank=log(4,64)                 whole numbers, where both ends are written as such
train.warmup=linear(0.0,0.2)          any number
method.rank=[4,8,16,32]               one of these
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from tunesmith.core.errors import UserError
from tunesmith.core.plain_yaml import StrictLoader
from tunesmith.recipe import Recipe

Value = str | int | float | bool | None
FORMS = "write choices as [4,8,16], or a range as log(1e-5,1e-3) or linear(0.0,0.2)"
_RANGE = re.compile(r"(log|linear)\s*\(\s*([^,()]+?)\s*,\s*([^,()]+?)\s*\)")
_WHOLE = re.compile(r"[+-]?\d+")

UNMOVED = {
    "train.seed": "the best of several seeds is luck, and no setting",
    "base": "losses of two tokenizers are not to be compared; `tunesmith bases --advise DATA` does it in bits per byte",
    "output": "the sweep has one folder, given with --output",
    "allow_download": "it changes no result",
}
"""Keys that no search may move, and why."""
SECTIONS = {
    "data": "it would change the rows that trials are judged on",
    "evaluate": "it changes what is measured after training, and trials are judged before that",
}
CALENDAR = (
    "evaluate_every",
    "checkpoint_every",
    "keep_checkpoints",
    "log_every",
    "tensorboard",
    "threads",
    "tokens_per_pass",
    "precision",
    "recompute",
)
"""Keys of `train` that change the calendar or the machine's work, and not what is learned."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """One key: its choices, or the ends of its range."""

    key: str
    choices: tuple[Value, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False

    @property
    def ends(self) -> tuple[Value, ...]:
        """-> the values that a recipe must bear for it to bear all."""
        return self.choices or (self.typed(self.low), self.typed(self.high))

    @property
    def count(self) -> float:
        """-> how many values there are."""
        return len(self.choices) or (self.high - self.low + 1 if self.whole else math.inf)

    def typed(self, value: float) -> int | float:
        return int(value) if self.whole else value


def space_of(texts: Sequence[str]) -> list[Dimension]:
    """-> the dimensions that `--set` names. Raises UserError with the text that is wrong."""
    if not texts:
        raise UserError(f"--set: name at least one key to search; {FORMS}")
    found = [_dimension(text) for text in texts]
    keys = [one.key for one in found]
    if twice := [key for key in keys if keys.count(key) > 1]:
        raise UserError(f"--set: {twice[0]} is given twice")
    return found


def _dimension(text: str) -> Dimension:
    key, equals, written = (part.strip() for part in text.partition("="))
    if not equals or not key or not written:
        raise UserError(f"--set: `{text}` must be key=...; {FORMS}")
    _refuse_key(key)
    if found := _RANGE.fullmatch(written):
        return _range(key, *found.groups())
    if written.startswith("["):
        return Dimension(key, choices=_choices(key, written))
    raise UserError(f"--set {key}: `{written}` is no space; {FORMS}")


def _refuse_key(key: str) -> None:
    section, _, own = key.partition(".")
    why = UNMOVED.get(key) or SECTIONS.get(section)
    if section == "train" and own in CALENDAR:
        why = "it changes how a run is worked off, and not what is learned; set it in the recipe"
    if why is not None:
        raise UserError(f"--set {key}: not to be searched: {why}")


def _range(key: str, form: str, first: str, last: str) -> Dimension:
    try:
        low, high = float(first), float(last)
    except ValueError:
        raise UserError(f"--set {key}: `{form}({first},{last})` needs two numbers") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UserError(f"--set {key}: the range {first} to {last} must go from a smaller number to a larger one")
    if form == "log" and low <= 0:
        raise UserError(
            f"--set {key}: log needs numbers above 0, and {first} is none; linear({first},{last}) goes there"
        )
    whole = bool(_WHOLE.fullmatch(first) and _WHOLE.fullmatch(last))
    return Dimension(key, low=low, high=high, log=form == "log", whole=whole)


def _choices(key: str, written: str) -> tuple[Value, ...]:
    try:
        values = yaml.load(written, Loader=StrictLoader)
    except yaml.YAMLError as error:
        raise UserError(f"--set {key}: `{written}` is not valid: {' '.join(str(error).split())}") from error
    if not isinstance(values, list) or not all(isinstance(v, str | int | float | bool | None) for v in values):
        raise UserError(f"--set {key}: choices are numbers or words, for example [4,8,16]")
    typed = [_number(value) for value in values]
    if len(typed) < 2 or len({repr(v) for v in typed}) < len(typed):
        raise UserError(f"--set {key}: give at least two choices, all different")
    return tuple(typed)


def _number(value: Value) -> Value:
    """YAML reads `1e-4` as a word."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def metric_of(space: Sequence[Dimension], recipe: Recipe) -> str:
    """-> by which number of the validation trials are ranked. Raises UserError where none can be.

    The loss; where the objective's own settings are moved, which change what a loss is, the share of right pairs.
    """
    moved = [one.key for one in space if one.key == "objective" or one.key.startswith("objective.")]
    if not moved:
        return "loss"
    if recipe.objective.eats != "pairs" or any(key in ("objective", "objective.kind") for key in moved):
        raise UserError(
            f"--set {moved[0]}: not to be searched: it changes what the validation loss of {recipe.objective.kind} "
            "means, so that trials could not be ranked by it; train both and compare them on the test rows"
        )
    return "accuracy"


def size(space: Sequence[Dimension]) -> float:
    """-> how many combinations there are."""
    return math.prod(one.count for one in space)


def told(values: Mapping[str, Any]) -> str:
    """-> the values of a trial for a person."""
    return ", ".join(
        f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in values.items()
    )
