"""`compare.json` and what its page needs beside it: the documents of a comparison of methods."""

import json
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from tunesmith.core.errors import UserError
from tunesmith.core.files import write_json
from tunesmith.report.document import Chosen, Part

NAME, DETAILS = "compare.json", "details.json"
AGAIN = "the same `tunesmith compare` writes both again from the runs"
PICTURES = "denoising_loss"  # the metric of the quality where pictures are learned
FULL = "full"  # the method that all are held against, where it is among them


class Value(Part):
    """A metric with its 95 % interval, over test items and seeds."""

    metric: str
    mean: float
    low: float
    high: float

    @model_validator(mode="after")
    def _in_order(self) -> "Value":
        assert self.low <= self.mean <= self.high, f"{self.metric}: {self.low} <= {self.mean} <= {self.high}"
        return self


class Latency(Part):
    """Seconds for each token that is written."""

    off: float
    """The base alone."""
    on: float
    """With what was trained beside it."""
    merged: float | None
    """Written into the weights; null where a method cannot be merged."""


class Share(Part):
    """The quality after training on a part of the training rows."""

    share: float
    rows: int
    quality: Value | None
    """null when that run did not end well."""


class Row(Part):
    """One method. What was not measured is null."""

    method: str
    trainable: int | None = None
    """Numbers that training may change."""
    total: int | None = None
    """All numbers of the network, the method's among them."""
    peak_memory_bytes: int | None = None
    """The most that the training's own process held; the median over the seeds, as the next two."""
    seconds_per_step: float | None = None
    tokens_per_second: float | None = None
    stored_bytes: int | None = None
    """What must be kept on the disk for each task."""
    quality: Value | None = None
    """On the test part; the mean over the seeds."""
    forgetting: Value | None = None
    """Perplexity of general text, after minus before: 0 is nothing forgotten."""
    latency: Latency | None = None
    refused: str | None = None
    """Only in the row of a method that could not be trained: why."""
    data_needed: list[Share] | None = None
    """Only when a learning curve was asked for."""
    pictures_per_second: float | None = None
    """Only of pictures: how many a run learned in a second of its steps."""
    facts: dict[str, float] | None = None
    """Only of pictures: what else the results of the runs say of the tuned model, the median over the seeds."""

    def document(self) -> dict[str, Any]:
        some = ("refused", "data_needed", "pictures_per_second", "facts")
        extra = {key for key in some if getattr(self, key) is None}
        return self.model_dump(mode="json", exclude=extra)


class Against(Part):
    """A paired difference, in words and numbers."""

    mean: float
    low: float
    high: float
    verdict: str


class Details(Part):
    """What the page shows beside the table."""

    base: str
    data: str
    seeds: list[int]
    steps: int
    examples: int
    """That each run saw, the same for all methods."""
    items: int
    base_quality: Value
    base_general: float | None
    """The base's perplexity on general text."""
    against_base: dict[str, Against] = Field(default_factory=dict)
    """Quality, by method."""
    quality_between: dict[str, dict[str, Against]] = Field(default_factory=dict)
    """By method and other method: the quality of the one less that of the other, on the same rows and seeds."""
    forgetting_between: dict[str, dict[str, Against]] = Field(default_factory=dict)
    """The same of the perplexity of general text."""
    forgetting_verdict: dict[str, str] = Field(default_factory=dict)
    general_accuracy: dict[str, Against] = Field(default_factory=dict)
    """Change of the share of general text's tokens that are the most likely ones."""
    rates: dict[str, Chosen] = Field(default_factory=dict)
    cannot_merge: dict[str, str] = Field(default_factory=dict)
    best_cost: list[str] = Field(default_factory=list)
    """Methods that are best trade-offs of quality and time."""
    best_forgetting: list[str] = Field(default_factory=list)
    recommended: str | None = None
    sentence: str
    doubts: list[str] = Field(default_factory=list)
    said: list[str] = Field(default_factory=list)
    """What was left out or cut."""
    seconds: float
    """Of all that was run."""
    environment: dict[str, Any] = Field(default_factory=dict)

    @property
    def paints(self) -> bool:
        """Whether pictures were learned."""
        return self.base_quality.metric == PICTURES

    def against_full(self, method: str) -> Against | None:
        """Quality less that of full fine-tuning, where both were trained."""
        return self.quality_between.get(method, {}).get(FULL)

    def forgetting_against_full(self, method: str) -> Against | None:
        return self.forgetting_between.get(method, {}).get(FULL)


class Comparison(Part):
    rows: list[Row]
    details: Details

    @property
    def recommendation(self) -> str:
        doubts = "".join(f" Doubt: {doubt}" for doubt in self.details.doubts)
        return self.details.sentence + doubts

    def document(self) -> dict[str, Any]:
        """-> the content of `compare.json`."""
        return {"rows": [row.document() for row in self.rows], "recommendation": self.recommendation}

    def write(self, folder: Path) -> None:
        write_json(folder / NAME, self.document())
        write_json(folder / DETAILS, self.details.model_dump(mode="json"))

    @classmethod
    def read(cls, folder: Path) -> "Comparison":
        """Raises UserError when a file is missing or damaged."""
        texts = {}
        for name in (NAME, DETAILS):
            try:
                texts[name] = (folder / name).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise UserError(f"{folder / name}: cannot be read; {AGAIN}") from error
        try:
            rows = json.loads(texts[NAME])["rows"]
            return cls.model_validate({"rows": rows, "details": json.loads(texts[DETAILS])})
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(f"{folder}: {NAME} or {DETAILS} is damaged, or of another version; {AGAIN}") from error
