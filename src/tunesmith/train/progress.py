"""Where a run stands, what it tells while it goes on, and what is left at the end."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Progress:
    """All that the rest of a run depends on beside tensors."""

    step: int = 0  # steps done
    examples: int = 0
    tokens: int = 0
    trained_tokens: int = 0
    best: float | None = None  # the lowest validation loss
    best_step: int | None = None
    waiting: int = 0  # validations since then
    evaluated: int = 0  # the step of the last validation
    limit: int | None = None  # tokens a pass, once a longer one did not fit the memory
    metrics_bytes: int = 0  # how much of metrics.jsonl belongs to the steps done


@dataclass(frozen=True, slots=True)
class Event:
    """Something to show. `values` are the numbers of the step or validation."""

    kind: Literal[
        "started", "resumed", "fallback", "step", "evaluated", "overfitting", "saved", "halved", "stopped", "early"
    ]
    step: int
    message: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    weights: Callable[[], AbstractContextManager[None]] = nullcontext  # inside, the model is what would be exported


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a run did, over all its resumptions."""

    steps: int
    examples: int
    tokens: int
    trained_tokens: int
    seconds: float  # of steps alone, without validations and checkpoints
    best: float | None  # the validation loss of the weights that the model now has
    best_step: int | None
    stopped_early: bool
    interrupted: bool  # the same command goes on from `checkpoint`
    checkpoint: Path
    stream_seconds: float = 0.0  # the part of `seconds` that went into making passes: answers are written there
