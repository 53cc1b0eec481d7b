"""The loop: a calendar. Every n steps it evaluates, saves and logs; what a step does is in `step`."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tunesmith.core.batch import Batch
from tunesmith.core.errors import RunFailed, UserError
from tunesmith.core.protocols import Objective, State
from tunesmith.train import randomness
from tunesmith.train.average import Average
from tunesmith.train.checkpoint import Checkpoints, Snapshot
from tunesmith.train.config import Train
from tunesmith.train.metrics import Metrics, diary, peak_memory, timings
from tunesmith.train.optimizer import Optimizer
from tunesmith.train.overfitting import Gap
from tunesmith.train.private_step import Noise, stepper_of
from tunesmith.train.progress import Event, Fitted, Progress
from tunesmith.train.schedule import factor
from tunesmith.train.signals import StopRequest
from tunesmith.train.size import measure
from tunesmith.train.step import NotFinite, Stepper
from tunesmith.train.world import World

Stream = Callable[[int], Sequence[Batch]]
Evaluate = Callable[[], Mapping[str, float]]


def _ignore(event: Event) -> None:
    pass


def fit(  # noqa: PLR0913 - all parts of a run meet here, and nowhere else
    model: nn.Module,
    objective: Objective[Any, Any],
    stream: Stream,
    *,
    config: Train,
    steps: int,
    folder: Path,
    fingerprints: Mapping[str, str],
    world: World,
    evaluate: Evaluate | None = None,
    on_event: Callable[[Event], None] = _ignore,
    epoch_steps: int | None = None,
    rates: Mapping[str, float] | None = None,
    noise: Noise | None = None,
) -> Fitted:
    """Train the parameters of `model` that require a gradient for `steps` steps, or go on where an earlier call ended.

    `stream(step)` gives the passes of a step (from 0) and is a pure function; `evaluate()` gives validation values, of
    which `loss` decides what is best. At the end the model has the best weights, or the last where nothing is
    validated; with `config.ema` their running mean. The caller holds the lock of `folder`; the rate of `config` is set;
    `epoch_steps` is only told; `rates` are those parameters that get a multiple of the rate; with `noise` each pass of
    the stream holds one example.

    Raises NotFinite or another RunFailed with the step and the last good checkpoint, and UserError when the folder
    belongs to another run, is full or cannot be written.
    """
    assert world.size == 1, "checkpoints are of one process"
    if config.patience is not None and evaluate is None:
        raise UserError("train.patience: there is no validation to wait for; give validation rows or remove the key")
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = Optimizer(
        parameters, weight_decay=config.weight_decay, betas=config.betas, rates=rates, kind=config.optimizer
    )
    stepper = stepper_of(model, objective, optimizer, world, config.clip, noise)
    checkpoints = Checkpoints(folder / "checkpoints", fingerprints, keep=config.keep_checkpoints)
    # AdamW keeps two moments for each parameter, and a float32 copy where that is narrower; a mean is one more.
    kept = (8 if config.optimizer == "adamw" else 2) + 4 * bool(config.ema)
    checkpoints.prepare(
        sum(p.numel() * (p.element_size() + kept + 4 * (p.element_size() < 4)) for p in parameters.values())
    )
    average = Average(parameters, optimizer.values(), config.ema) if config.ema else None
    course = _Course(config, steps, folder, stepper, parameters, checkpoints, evaluate, on_event, epoch_steps, average)
    course.begin()
    with (
        StopRequest() as stop,
        Metrics(
            folder, step=course.done.step, size=course.done.metrics_bytes, tensorboard=config.tensorboard
        ) as metrics,
    ):
        interrupted = course.run(stream, stop, metrics)
    return course.finish(interrupted)


@dataclass
class _Course:
    config: Train
    steps: int
    folder: Path
    stepper: Stepper
    parameters: Mapping[str, nn.Parameter]
    checkpoints: Checkpoints
    evaluate: Evaluate | None
    on_event: Callable[[Event], None]
    epoch_steps: int | None
    average: Average | None = None
    done: Progress = field(default_factory=Progress)
    saved: int | None = None  # the step of the last good checkpoint
    gap: Gap = field(default_factory=Gap)

    def begin(self) -> None:
        """Take the newest checkpoint that can be used, or start from the weights as they are."""
        self.saved, refused = self.checkpoints.newest()
        for sentence in refused:
            origin = "the start" if self.saved is None else f"step {self.saved}"
            self.on_event(Event("fallback", self.saved or 0, f"{sentence}; going on from {origin}"))
        self.checkpoints.forget_after(self.saved or 0)
        if self.saved is None:
            randomness.seed(self.config.seed)
            self.on_event(Event("started", 0, f"{self.steps} steps"))
            return
        snapshot = self.checkpoints.load(self.saved)
        self._put(snapshot.trainable)
        self.stepper.optimizer.load(snapshot.optimizer)
        if self.average is not None:
            self.average.load(snapshot.average)
        self.stepper.resume(snapshot.progress.limit, self.saved)
        self.done = snapshot.progress
        randomness.restore(snapshot.rng, self.stepper.world.device)
        self.on_event(Event("resumed", self.saved, f"from {self.checkpoints.path(self.saved)}"))

    def run(self, stream: Stream, stop: StopRequest, metrics: Metrics) -> bool:
        """Step until the end. -> whether a signal came first."""
        self.gap = Gap.of(diary(self.folder))
        while True:
            if stop.asked and not self.ended:
                self._save(metrics)  # a validation that is due comes after resuming
                self.on_event(Event("stopped", self.done.step, "the same command goes on from here"))
                return True
            better = self._evaluation_due and self._evaluate(metrics)
            if better or self.ended or self._checkpoint_due:
                self._save(metrics)
            if self.ended:
                self._say_early()
                return False
            self._step(stream, metrics)

    def _say_early(self) -> None:
        if self._patience_lost and self.done.step < self.steps:
            message = f"no lower validation loss since step {self.done.best_step}, whose weights are kept"
            self.on_event(Event("early", self.done.step, message))

    @property
    def ended(self) -> bool:
        return (self.done.step == self.steps and not self._evaluation_due) or self._patience_lost

    @property
    def _patience_lost(self) -> bool:
        return self.config.patience is not None and self.done.waiting >= self.config.patience

    @property
    def _evaluation_due(self) -> bool:
        step = self.done.step
        due = step == self.steps or step % self.config.evaluation_interval(self.steps) == 0
        return self.evaluate is not None and step > self.done.evaluated and due

    @property
    def _checkpoint_due(self) -> bool:
        return self.done.step > 0 and self.done.step % self.config.checkpoint_interval(self.steps) == 0

    def _step(self, stream: Stream, metrics: Metrics) -> None:
        config, step = self.config, self.done.step
        started = time.perf_counter()
        self.stepper.model.train()
        passes = stream(step)
        made = time.perf_counter() - started
        rate = config.rate * factor(step, self.steps, kind=config.schedule, warmup=config.warmup)
        limit = self.stepper.limit
        try:
            means = self.stepper.step(passes, rate)
        except NotFinite as error:
            raise NotFinite(f"step {step + 1}: {error}; the weights are unchanged; {self._last_good()}") from error
        except UserError as error:
            raise UserError(f"step {step + 1}: {error}") from error
        if self.average is not None:
            self.average.follow(step + 1)
        if self.stepper.limit != limit:
            message = f"did not fit the memory; at most {self.stepper.limit} tokens a pass from now on"
            self.on_event(Event("halved", step + 1, message))
        seconds = {"seconds": time.perf_counter() - started, "stream_seconds": made}
        self._count(passes, {**means, "learning_rate": rate}, seconds, metrics)

    def _count(
        self, passes: Sequence[Batch], values: dict[str, float], seconds: dict[str, float], metrics: Metrics
    ) -> None:
        sizes = [measure(batch) for batch in passes]
        examples, tokens = sum(s.examples for s in sizes), sum(batch.size for batch in passes)
        self.done = replace(
            self.done,
            step=self.done.step + 1,
            examples=self.done.examples + examples,
            tokens=self.done.tokens + tokens,
            trained_tokens=self.done.trained_tokens + sum(s.trained for s in sizes),
            limit=self.stepper.limit,
        )
        units = sum(batch.units for batch in passes)
        line = {**self._place(), **values, "units": units, "examples": examples, "tokens": tokens}
        if self.done.step % self.config.log_every == 0 or self.done.step == self.steps:
            metrics.write(line)
            self.gap.add(line)
        timing = {**seconds, "tokens_per_second": tokens / seconds["seconds"]}
        memory = peak_memory(self.stepper.world.device)
        metrics.time({"step": self.done.step, **timing, "peak_memory_bytes": memory})
        told = {**line, **timing, "peak_memory_bytes": memory}
        self.on_event(Event("step", self.done.step, values=told, weights=self._exported))

    def _exported(self) -> AbstractContextManager[None]:
        """Inside, the model is what would be exported now."""
        return nullcontext() if self.average is None else self.average.in_place()

    def _place(self) -> dict[str, float]:
        epoch = {} if self.epoch_steps is None else {"epoch": self.done.step / self.epoch_steps}
        return {"step": self.done.step, **epoch}

    def _evaluate(self, metrics: Metrics) -> bool:
        """-> whether the weights are the best so far."""
        assert self.evaluate is not None
        started = time.perf_counter()
        self.stepper.model.eval()
        with randomness.untouched(self.stepper.world.device), self._exported(), torch.no_grad():
            found = dict(self.evaluate())
        loss = found["loss"]
        if not math.isfinite(loss):
            raise NotFinite(f"step {self.done.step}: the validation loss is {loss}; {self._last_good()}")
        better = self.done.best is None or loss < self.done.best
        best = (
            {"best": loss, "best_step": self.done.step, "waiting": 0} if better else {"waiting": self.done.waiting + 1}
        )
        self.done = replace(self.done, evaluated=self.done.step, **best)
        line = {**self._place(), **{f"validation_{name}": value for name, value in found.items()}}
        metrics.write(line)
        metrics.time({"step": self.done.step, "evaluation_seconds": time.perf_counter() - started})
        self.on_event(Event("evaluated", self.done.step, "the best so far" if better else "", found))
        if (turn := self.gap.add(line)) is not None:
            self.on_event(Event("overfitting", self.done.step, f"{turn.sentence}; {turn.advice(self.config)}"))
        return better

    def _save(self, metrics: Metrics) -> None:
        # A run stopped before a validation has already saved this step: its weights and state give the same again.
        if self.saved == self.done.step:
            return
        started = time.perf_counter()
        self.done = replace(self.done, metrics_bytes=metrics.sync())
        rng = randomness.capture(self.stepper.world.device)
        mean = self.average.state if self.average is not None else {}
        snapshot = Snapshot(self.parameters, self.stepper.optimizer.state(), rng, self.done, mean)
        path = self.checkpoints.save(snapshot)
        self.saved = self.done.step
        metrics.time({"step": self.done.step, "saving_seconds": time.perf_counter() - started})
        self.on_event(Event("saved", self.done.step, str(path)))

    def finish(self, interrupted: bool) -> Fitted:
        """Give the model its best weights, and count."""
        assert self.saved is not None
        best = self.done.best_step
        if not interrupted and best is not None and best != self.done.step:
            self._put(self.checkpoints.weights(best))
        elif not interrupted and self.average is not None:
            self._put(self.average.state)
        return Fitted(
            steps=self.done.step,
            examples=self.done.examples,
            tokens=self.done.tokens,
            trained_tokens=self.done.trained_tokens,
            seconds=sum(line.get("seconds", 0.0) for line in timings(self.folder)),
            stream_seconds=sum(line.get("stream_seconds", 0.0) for line in timings(self.folder)),
            best=self.done.best,
            best_step=best,
            stopped_early=self._patience_lost and self.done.step < self.steps,
            interrupted=interrupted,
            checkpoint=self.checkpoints.path(self.saved),
        )

    def _put(self, values: State) -> None:
        if set(values) != set(self.parameters):
            raise RunFailed(
                f"{self.checkpoints.folder}: holds other parameters than those that train; use a new folder"
            )
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(values[name])

    def _last_good(self) -> str:
        return "there is no checkpoint yet" if self.saved is None else f"last good: {self.checkpoints.path(self.saved)}"
