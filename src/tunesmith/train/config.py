"""The recipe's `train` section: how long, how fast, and what is kept."""

from contextlib import suppress
from math import ceil
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from tunesmith.core.config import Config
from tunesmith.train.privacy import Privacy

MOST_EPOCHS = 8  # that `auto` may find
OptimizerKind = Literal["adamw", "adamw8bit", "paged_adamw8bit"]
Momentum = Annotated[float, Field(ge=0, lt=1)]


def _rate(value: Any) -> Any:
    if value is None or value == "auto":
        return value
    with suppress(TypeError, ValueError):
        if 0 < (rate := float(value)) <= 10:
            return rate
    raise ValueError(f"must be a number above 0 and at most 10, or auto, not {value!r}")


def _epochs(value: Any) -> Any:
    if value is None or value == "auto":
        return value
    with suppress(TypeError, ValueError):
        if 0 < (epochs := float(value)) <= 10_000:
            return epochs
    raise ValueError(f"must be a number above 0 and at most 10000, or auto, not {value!r}")


class Train(Config):
    """How a run goes on: length, optimizer, calendar."""

    epochs: Annotated[float | Literal["auto"] | None, BeforeValidator(_epochs)] = None
    """How often each example is seen. None: as `max_steps` says, or once when that is None too. auto: as often as the
    validation loss of a short training falls; what it was after each epoch is in the report."""

    max_steps: int | None = Field(default=None, ge=1, le=100_000_000)
    """At most this many optimizer steps, whatever `epochs` says."""

    batch_size: int = Field(default=8, ge=1, le=1_000_000)
    """Examples that make one step. How they are cut into passes is chosen so that they fit the memory."""

    learning_rate: Annotated[float | Literal["auto"] | None, BeforeValidator(_rate)] = None
    """The highest rate of the schedule. None: the method's own default. auto: the best of a few around that, each
    tried for a few steps on validation rows; what was tried is in the report."""

    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the rate falls after the warm-up: to zero along half a cosine, to zero along a line, or not at all."""

    warmup: float = Field(default=0.05, ge=0, lt=1)
    """The share of the steps in which the rate rises from near zero."""

    weight_decay: float = Field(default=0.0, ge=0, lt=1)
    """How fast matrices shrink, times the rate, at each step. Biases and norms never decay."""

    optimizer: OptimizerKind = "adamw"
    """adamw; adamw8bit: its two moments in 8 bits (by blocks, with the kernels of bitsandbytes), a quarter of their
    memory; paged_adamw8bit: those in memory that a full GPU may move out."""

    betas: tuple[Momentum, Momentum] = (0.9, 0.999)
    """AdamW: how much of the running mean of the gradient and of its square is kept at each step."""

    ema: float = Field(default=0.0, ge=0, lt=1)
    """Keep a running mean of the weights, of which so much stays at each step (0.999: about the last thousand), less
    in the first steps; it is validated and exported in their place. 0: none."""

    clip: float | None = Field(default=1.0, gt=0)
    """The longest gradient, in Euclidean norm over all that trains; a longer one is scaled down. None: any length."""

    seed: int = Field(default=0, ge=0, lt=2**32)
    """Fixes the order of the examples, the dropout and the start of new weights."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """The type in which the model computes. auto: what a short probe of the machine finds to be fast."""

    tokens_per_pass: int | None = Field(default=None, ge=1)
    """At most this many tokens go through the model at once. None: chosen to fit the memory."""

    recompute: bool = False
    """Keep only what enters each layer, and compute the rest again in the backward pass: less memory, more time."""

    evaluate_every: int | None = Field(default=None, ge=1)
    """Steps between two validations. None: four validations in the run. There is always one after the last step."""

    patience: int | None = Field(default=None, ge=1)
    """Stop after this many validations without a lower loss. None: never stop early."""

    checkpoint_every: int | None = Field(default=None, ge=1)
    """Steps between two checkpoints. None: a tenth of the run, at most 500. A better validation is always saved."""

    keep_checkpoints: int = Field(default=2, ge=2, le=1000)
    """How many of the newest checkpoints stay. At least two, so that one can be lost; the best one stays as well."""

    threads: int | None = Field(default=None, ge=1, le=4096)
    """Processor threads to compute with. None: torch's choice. One thread makes equal runs equal to the byte."""

    log_every: int = Field(default=1, ge=1)
    """Steps between two lines of metrics.jsonl."""

    tensorboard: bool = False
    """Write TensorBoard files as well (needs the extra `tensorboard`)."""

    privacy: Privacy | None = None
    """Differential privacy for each training row; see docs/how-to/private-training.md. None: none."""

    @model_validator(mode="after")
    def _private_alone(self) -> "Train":
        if self.privacy is None:
            return self
        if self.learning_rate == "auto":
            raise ValueError("train.learning_rate: auto trains on the rows before the privacy counts; give a number")
        if self.clip != type(self).model_fields["clip"].default:
            raise ValueError("train.clip: has no part in a run with train.privacy; set train.privacy.clip instead")
        return self

    @model_validator(mode="after")
    def _patience_has_room(self) -> "Train":
        if self.patience is not None and self.max_steps is not None and (self.evaluate_every or 1) > self.max_steps:
            raise ValueError("patience needs validations: evaluate_every is larger than max_steps")
        return self

    @property
    def rate(self) -> float:
        """The learning rate, once nothing is left open."""
        assert isinstance(self.learning_rate, float), "the caller puts a number in its place"
        return self.learning_rate

    def steps(self, per_epoch: int) -> int:
        """-> how many steps the run has, when an epoch has `per_epoch`; of unknown epochs the most."""
        if self.epochs is None:
            return self.max_steps or per_epoch
        epochs = MOST_EPOCHS if self.epochs == "auto" else self.epochs
        wanted = max(1, ceil(epochs * per_epoch - 1e-9))  # 0.1 * 30 is a little more than 3
        return min(wanted, self.max_steps or wanted)

    def evaluation_interval(self, steps: int) -> int:
        """-> steps between two validations in a run of `steps`."""
        return self.evaluate_every or max(1, ceil(steps / 4))

    def checkpoint_interval(self, steps: int) -> int:
        """-> steps between two checkpoints in a run of `steps`."""
        return self.checkpoint_every or min(500, max(1, ceil(steps / 10)))
