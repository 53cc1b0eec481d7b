"""Pieces of a run on pictures, timed for its plan: some steps, some judging, one painted picture."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from math import ceil

from tunesmith.core.batch import Batch
from tunesmith.core.latents import LatentBatch
from tunesmith.core.order import steps_per_epoch
from tunesmith.models.diffusion.denoiser import Denoiser
from tunesmith.models.diffusion.paint import Brush, paint, pipeline_of
from tunesmith.objectives.dreambooth import DreamBooth
from tunesmith.rehearsal.excerpt import Outline
from tunesmith.rehearsal.training import SMALL, TimedOptimizer, timed, typical
from tunesmith.streams.stream import steps
from tunesmith.studio.feed import PictureFeed
from tunesmith.studio.judge import LEVELS, Judge
from tunesmith.studio.opening import Opened
from tunesmith.studio.samples import brush_of, prompts_of
from tunesmith.train.step import Stepper
from tunesmith.train.world import World

QUICK = 3.0  # seconds: what takes less is done again, for the first time is not like the others


def outlined(opened: Opened, count: int) -> Outline:
    """-> the run by its numbers: the places of latents that go through the denoiser, those of the prior among them."""
    train, size = opened.prepared.train, opened.recipe.train.batch_size
    epochs, rest = divmod(count, steps_per_epoch(len(train), size))
    examples = epochs * len(train) + min(rest * size, len(train))
    objective = opened.objective
    twice = 2 if isinstance(objective, DreamBooth) and objective.prior != "none" else 1
    return Outline(count, round(twice * examples * _places(opened)), ())


def _places(opened: Opened) -> float:
    """-> of the latent of a picture, on average."""
    pixels = 2 ** (len(opened.base.vae.config.block_out_channels) - 1)
    train = opened.prepared.train
    return sum(p.bucket[0] * p.bucket[1] for p in train) / len(train) / pixels**2


def train_a_little(
    opened: Opened, model: Denoiser, feed: PictureFeed, optimizer: TimedOptimizer, run: Outline
) -> float:
    """-> seconds of all steps. One picture first: the moments of AdamW must be there when the largest passes come."""
    config = opened.recipe.train
    stepper = Stepper(model, opened.objective, optimizer, World(opened.device), clip=config.clip)
    stream = steps(feed, opened.prepared.train, seed=config.seed, batch_size=config.batch_size)  # type: ignore[arg-type]
    rate = SMALL * config.rate
    model.train()
    stepper.step(feed(opened.prepared.train[:1], 0), rate)
    return typical(stepper, stream, rate, run, _shape)


def _shape(batch: Batch) -> Hashable:
    assert isinstance(batch, LatentBatch)
    return batch.noisy.shape


@dataclass(frozen=True, slots=True)
class Judging:
    """Seconds."""

    losses: float  # of all pictures that are held out
    drift: float  # of the class prompt
    first_drift: float  # with the base's answers, which are asked for once


def judge_a_little(feed: PictureFeed, model: Denoiser) -> Judging:
    """Judge as many of the held-out pictures as fill a pass."""
    opened = feed.opened
    rows, most = opened.prepared.validation, opened.recipe.train.tokens_per_pass or 0
    some = rows[: max(2, ceil(most / _places(opened) / LEVELS))]
    judge = Judge(feed, some)
    model.eval()
    losses = _usual(lambda: judge.losses(model)) if some else 0.0
    first = timed(lambda: judge.drift(model))
    return Judging(losses * len(rows) / max(1, len(some)), timed(lambda: judge.drift(model)), first)


@dataclass(frozen=True, slots=True)
class Painting:
    """Seconds of one picture."""

    fixed: float  # the prompt, and the autoencoder at the end
    step: float  # of sampling

    def of(self, brush: Brush) -> float:
        return self.fixed + self.step * brush.steps


def paint_a_little(opened: Opened, model: Denoiser) -> Painting:
    """Paint with few steps of sampling, and with more."""
    parts = {**opened.base.parts, **dict(model.network.named_children())}
    pipeline = pipeline_of(parts, opened.base.family, opened.base.noise)
    prompt, brush = prompts_of(opened)[0], brush_of(opened)

    def once(count: int) -> float:
        return _usual(lambda: paint(pipeline, [prompt], [0], replace(brush, steps=count)))

    few, more = once(1), once(3)
    each = max(0.0, more - few) / 2
    return Painting(max(0.0, few - each), each)


def _usual(work: Callable[[], object]) -> float:
    """-> seconds of `work()` as it is when it is not done for the first time."""
    first = timed(work)
    return timed(work) if first < QUICK else first
