"""The recipe's `data` section: where the rows are, what they hold, and what of them is trained."""

from collections.abc import Iterable
from typing import Literal

from pydantic import Field, model_validator

from tunesmith.core.config import Config
from tunesmith.core.errors import UserError, near
from tunesmith.core.protocols import Eats

Format = Literal[
    "auto",
    "messages",
    "prompt-completion",
    "alpaca",
    "sharegpt",
    "labelled",
    "text",
    "preference",
    "implicit-preference",
    "openai-preference",
    "ranking",
    "rated",
    "prompt",
]

FIELDS: dict[str, tuple[str, ...]] = {
    "messages": ("messages",),
    "prompt-completion": ("prompt", "completion"),
    "alpaca": ("instruction", "output"),
    "sharegpt": ("conversations",),
    "labelled": ("text", "label"),
    "text": ("text",),
    "preference": ("prompt", "chosen", "rejected"),
    "implicit-preference": ("chosen", "rejected"),
    "openai-preference": ("input", "preferred_output", "non_preferred_output"),
    "ranking": ("prompt", "answers"),
    "rated": ("prompt", "completion", "label"),
    "prompt": ("prompt",),
}
"""What a row of each format must hold."""

LESS = {"text": "labelled", "implicit-preference": "preference", "prompt": "messages"}
"""Formats that say less than another one: where both are possible, the other is meant."""

COMPARED = ("preference", "implicit-preference", "openai-preference", "ranking")
FORMATS: dict[Eats, tuple[str, ...]] = {
    "tokens": ("messages", "prompt-completion", "alpaca", "sharegpt", "labelled", "text", *COMPARED),
    "pairs": COMPARED,
    "rated": ("rated", *COMPARED),
    "prompts": ("prompt", "messages"),
    "targets": ("labelled",),
    "ranked": COMPARED,
}
"""Which formats can feed an objective. Tokens of compared answers are those of the best one."""

# What some formats read when it is there.
MAY_HOLD = ("tools", "parallel_tool_calls", "input", "system", "margin", "chosen_score", "rejected_score", "scores")

MOST_CANARIES = 300


class Data(Config):
    """Rows of the user, made into examples."""

    train: str | tuple[str, ...]
    """A file (.jsonl, .json, .csv, .tsv, .parquet, .txt, .md), a folder of texts, several of them, or a hub id."""
    validation: str | None = None
    """Rows to choose the best weights by. Without it a part is split off `train`."""
    test: str | None = None
    """Rows to judge the result by, once. Without it a part is split off `train`."""
    split: tuple[float, float, float] = (0.8, 0.1, 0.1)
    """Parts of `train` that go to train, validation and test. A part that has its own file is not split off."""
    format: Format = "auto"
    """What the rows hold. `auto` looks at the fields of the rows and says what it found."""
    columns: dict[str, str] = Field(default={})
    """From our field to the user's column: {prompt: question, completion: answer}."""
    template: str | None = None
    """The prompt of labelled text. {text}, {labels} and any other column of the row stand in braces. Where a head reads
    the text (objective=classify or regress) it is the text alone by default."""
    labels: tuple[str, ...] | None = None
    """The names of the labels, in order. Without it they are the distinct labels of the rows, sorted."""
    system: str | None = None
    """A system message for every conversation that has none."""
    train_on: Literal["assistant", "all"] = "assistant"
    """Which tokens are trained: those that the assistant writes, or all."""
    max_length: int | None = None
    """The longest example in tokens; without it, the longest the model reads. Plain text is cut into such blocks."""
    too_long: Literal["refuse", "drop", "truncate"] = "refuse"
    """What happens to a longer example: stop, leave it out, or cut it (of labelled text only the text is cut)."""
    near_duplicates: float = 0.8
    """Rows whose sets of five-word runs overlap at least so much (Jaccard) stay in the same part of a split."""
    limit: int | None = None
    """Use at most so many rows of `train`, chosen by their content."""
    share: float = 1.0
    """Train on this share of the training part, chosen by content. Validation and test part stay as they are."""
    canaries: int = 0
    """So many made-up secrets are put among the training rows, 1, 4 or 16 times each, so that `tunesmith evaluate
    --suite memorisation` can tell how much is memorised. They are kept in `canaries.json` of the run."""

    @model_validator(mode="after")
    def _possible(self) -> "Data":
        _check_sources(self)
        _check_split(self.split)
        _check_columns(self.columns)
        _check_labelled(self)
        _check_numbers(self)
        return self

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.train,) if isinstance(self.train, str) else self.train


def _check_sources(data: Data) -> None:
    if not data.sources or not all(s.strip() for s in (*data.sources, data.validation or "x", data.test or "x")):
        raise UserError("data.train: name at least one file, and no empty name")
    if repeated := _repeated(data.sources):
        raise UserError(f"data.train: {repeated} is named twice")


def _check_split(split: tuple[float, float, float]) -> None:
    if not all(0 <= part <= 1 for part in split) or abs(sum(split) - 1) > 1e-6:
        raise UserError(f"data.split: {list(split)} must be three parts (train, validation, test) that add up to 1")
    if split[0] == 0:
        raise UserError("data.split: the first part, train, must be more than 0")


def _check_columns(columns: dict[str, str]) -> None:
    known = {field for fields in FIELDS.values() for field in fields} | set(MAY_HOLD)
    for field in columns:
        if field not in known:
            raise UserError(f"data.columns.{field}: not a field of any format{near(field, known)} (write ours: yours)")
    if repeated := _repeated(columns.values()):
        raise UserError(f"data.columns: the column `{repeated}` is used for two fields")


def _check_labelled(data: Data) -> None:
    for name in ("template", "labels"):
        if getattr(data, name) is not None and data.format not in ("auto", "labelled"):
            raise UserError(f"data.{name}: only labelled text has it, and data.format is {data.format}")
    if data.template is not None and "{text}" not in data.template:
        raise UserError("data.template: must contain {text}, the place of the row's text")
    if data.labels is not None and (len(data.labels) < 2 or not all(label.strip() for label in data.labels)):
        raise UserError("data.labels: name at least two labels, none of them empty")
    if data.labels is not None and (repeated := _repeated(data.labels)):
        raise UserError(f"data.labels: `{repeated}` is named twice")
    if data.system is not None and (not data.system.strip() or data.format == "text"):
        raise UserError("data.system: must not be empty, and plain text has no system message")


def _check_numbers(data: Data) -> None:
    if data.max_length is not None and data.max_length < 2:
        raise UserError(f"data.max_length: {data.max_length} is too short; an example needs at least 2 tokens")
    if not 0 < data.share <= 1:
        raise UserError(f"data.share: {data.share} must be more than 0 and at most 1")
    if not 0 <= data.canaries <= MOST_CANARIES:
        raise UserError(f"data.canaries: {data.canaries} must be at least 0 and at most {MOST_CANARIES}")
    if data.limit is not None and data.limit < 1:
        raise UserError(f"data.limit: {data.limit} must be at least 1")
    if not 0 < data.near_duplicates <= 1:
        raise UserError(f"data.near_duplicates: {data.near_duplicates} must be more than 0 and at most 1")


def _repeated(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    return next((name for name in names if name in seen or seen.add(name)), None)  # type: ignore[func-returns-value]
