"""`result.json`: what a run tells other programs. Keys are added with time, never renamed or removed."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from tunesmith.core.files import write_json

NAME = "result.json"
SCORING = ("classify", "regress", "reward")  # objectives whose runs make something that scores and cannot write

PAINTING = (
    "denoise",
    "dreambooth",
    "textual-inversion",
    "diffusion-dpo",
)  # whose runs make something that paints pictures


class Part(BaseModel):
    """Frozen, and unknown keys are refused when it is made; not-a-number is no JSON and refused too."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class Privacy(Part):
    """Of a run with `train.privacy`: what its weights give away at most about any one training row."""

    epsilon: float | None
    """Over all steps that were planned, also when the run stopped earlier; null: there was no noise, and no promise."""
    delta: float
    noise_multiplier: float
    """Deviation of the noise on the sum of a step, in lengths of `clip`."""
    clip: float
    """The longest gradient of one row."""
    sample_rate: float
    """The chance of a row to be drawn at a step, each by itself (Poisson sampling)."""
    steps: int
    rows: int
    reproducible: bool
    """Whether the noise follows from the seed of the recipe: then the promise does not hold for who knows it."""


class Parameters(Part):
    trainable: int
    """Numbers that training may change."""
    total: int
    """All numbers of the network, the adapter's among them."""


class Training(Part):
    steps: int
    """Updates made, over all resumptions."""
    examples: int
    """Examples seen; one that is seen twice counts twice."""
    tokens: int
    """Tokens that went through the model. There is no padding."""
    trained_tokens: int
    """Those that the model had to learn to produce."""
    seconds: float
    """Time of the steps alone."""
    rollout_seconds: float | None = None
    """The part of it in which answers were written and judged (by a teacher: all answers); absent where none are."""
    tokens_per_second: float
    peak_memory_bytes: int
    """The most memory the process held: on the GPU when there is one, else resident."""

    @model_serializer(mode="wrap")
    def _only_where_answers_are_written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        return {key: value for key, value in written.items() if value is not None}


class Interval(Part):
    """After minus before on the same rows."""

    mean: float
    low: float
    """Lower end of the 95 % interval."""
    high: float
    p: float
    """Of the paired test."""


class MetricFound(Part):
    """One number of the base and of the tuned model, on the same items."""

    base: float
    tuned: float
    difference: float
    low: float
    """Lower end of the 95 % interval of the difference."""
    high: float
    p: float | None
    """Of the paired test, after Holm's correction over the metrics of the suite; null where there is none."""
    verdict: str
    """`better`, `worse`, `changed`, `equivalent within m` or `no detectable difference (...)`."""
    n: int
    """How many items were compared."""
    better: Literal["higher", "lower", "neither"]


class Evaluated(Part):
    before: dict[str, float] = Field(default_factory=dict)
    """The base model, by the name of the metric."""
    after: dict[str, float] = Field(default_factory=dict)
    """The tuned model."""
    difference: dict[str, Interval] = Field(default_factory=dict)
    verdict: dict[str, str] = Field(default_factory=dict)
    """`better`, `worse`, or `no detectable difference (...)`."""
    n: int | None = None
    """How many held-out rows were compared."""


class Origin(Part):
    """What is known of the base."""

    fingerprint: str
    """sha256 of weights and configuration; of a GGUF file, of the file."""
    source: str
    licence: str | None = None
    """null when nobody stated one."""
    note: str | None = None
    """What an honest report must add."""


class Artifact(Part):
    path: str
    """Of the adapter or model file, relative to the run folder."""
    bytes: int
    sha256: str
    base_bytes: int | None = None
    """Size of the base's weights on the disk, to compare with."""
    mergeable: bool = True
    """Whether `tunesmith merge` can make a plain model of it."""


class Tried(Part):
    rate: float | None = None
    """Of a learning rate; 0: before any training."""
    value: float | None = None
    """Of another key: what was tried; 0: before any training."""
    loss: float | None
    """On validation rows, nats per token; null when the trial ended in not-a-number."""

    @property
    def what(self) -> float:
        found = self.value if self.rate is None else self.rate
        assert found is not None, "one of both is there"
        return found

    @model_serializer(mode="wrap")
    def _one_name(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        return {key: value for key, value in written.items() if key == "loss" or value is not None}


class Chosen(Part):
    """A value that the recipe left open."""

    value: Any
    reason: str
    tried: list[Tried] | None = None
    """Of a value that was found by trial: what each one gave. Absent elsewhere."""

    @model_serializer(mode="wrap")
    def _only_what_was_tried(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        return written if self.tried is not None else {k: v for k, v in written.items() if k != "tried"}


class RunResult(Part):
    """The whole document."""

    status: Literal["ok", "failed", "interrupted"]
    message: str | None = None
    """Why it failed, or how to go on; null when it is ok."""
    base: str
    origin: Origin | None = None
    """Of the base. null when the run ended before it was opened. So with the next ones, as far as they may be null."""
    method: str
    objective: str
    parameters: Parameters | None = None
    train: Training | None = None
    privacy: Privacy | None = None
    """null without `train.privacy`: nothing is promised about training rows."""
    evaluation: Evaluated | None = None
    fidelity: dict[str, MetricFound] = Field(default_factory=dict)
    """Of a single subject that was learned, by `suite.metric` as in `suites.json`; empty where nothing judged."""
    artifact: Artifact | None = None
    proof: dict[str, bool] = Field(default_factory=dict)
    """Each check by name; a run with one that is false has failed."""
    chosen: dict[str, Chosen] = Field(default_factory=dict)
    """By the recipe's dotted key: what stood in for a value that was not given, and why."""
    environment: dict[str, Any] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)
    """What was said on the way: rows left out, what was chosen instead of what was asked."""

    @property
    def scores(self) -> bool:
        return self.objective in SCORING

    @property
    def paints(self) -> bool:
        return self.objective in PAINTING

    def write(self, folder: Path) -> Path:
        path = folder / NAME
        write_json(path, self.model_dump(mode="json"))
        return path

    @classmethod
    def read(cls, folder: Path) -> "RunResult":
        """Raises FileNotFoundError, and ValueError when the file is not such a document."""
        return cls.model_validate_json((folder / NAME).read_bytes())


def schema() -> str:
    """-> the JSON schema of `result.json`, for the documentation."""
    return json.dumps(RunResult.model_json_schema(), indent=2) + "\n"
