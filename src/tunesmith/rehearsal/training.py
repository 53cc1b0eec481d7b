"""Some steps of a training, timed: its largest passes for the memory, typical ones for the time."""

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

from torch import nn

from tunesmith.core.answers import Answers
from tunesmith.core.batch import Batch
from tunesmith.evaluate.score import grouped, score_answers
from tunesmith.guarantee import noise_of
from tunesmith.models.language import Packed, rung
from tunesmith.opening import Opened, own_rate
from tunesmith.rehearsal.excerpt import Outline, differing, evenly
from tunesmith.stages import feed_of
from tunesmith.streams.answers import Reference, no_reference
from tunesmith.streams.stream import Feed, Stream, alone, steps
from tunesmith.tasks.prompts import rewarded
from tunesmith.tasks.task import validate
from tunesmith.tasks.writing import AT_ONCE
from tunesmith.train.average import Average
from tunesmith.train.config import Train
from tunesmith.train.optimizer import Optimizer
from tunesmith.train.private_step import stepper_of
from tunesmith.train.size import measure
from tunesmith.train.step import Stepper
from tunesmith.train.world import World

FEWEST, MOST = 2, 16  # typical steps that are timed
LOOKED_AT = 64  # steps among which those are chosen that bring passes of lengths not met so far
PATIENCE, QUICK, USUAL = 25.0, 3.0, 6  # seconds for them; within fewer, so many are timed, new lengths or not
PASSES = 4  # of a step with more, so many are timed
SMALL = 0.01  # of the learning rate: weights must move, and nothing is kept of it
VALIDATED = 3  # passes of a validation that are timed


class TimedOptimizer(Optimizer):
    """Notes how long the last update took: it costs the same however few passes a step has. A mean is part of it."""

    seconds = 0.0
    average: Average | None = None

    def step(self, rate: float) -> None:
        begin = time.perf_counter()
        super().step(rate)
        if self.average is not None:
            self.average.follow(1)
        self.seconds = time.perf_counter() - begin


def optimizer_of(config: Train, parameters: Mapping[str, nn.Parameter]) -> TimedOptimizer:
    made = TimedOptimizer(parameters, weight_decay=config.weight_decay, betas=config.betas, kind=config.optimizer)
    if config.ema:
        made.average = Average(parameters, made.values(), config.ema)
    return made


@dataclass(slots=True)
class Rehearsed:
    """What a few steps told."""

    seconds: float  # of all steps of the run, without the writing of answers
    limit: int | None  # tokens a pass, when a longer one did not fit the memory
    tokens: int  # of all steps
    rollouts: float = 0.0  # seconds in which answers are written and judged
    longest: float | None = None  # seconds of both, were all answers as long as they may be


def train_a_little(opened: Opened, model: Packed, optimizer: TimedOptimizer, run: Outline) -> Rehearsed:
    """The shortest row first: the moments of AdamW must be there when the largest come. Then typical steps."""
    config = opened.recipe.train
    private = opened.prepared.facts.get("privacy")
    noise = noise_of(config, private, None) if private else None
    stepper = stepper_of(model, opened.recipe.objective, optimizer, World(opened.device), config.clip, noise)
    feed = rehearsal_feed(opened, model)
    feed = alone(feed) if private else feed
    stream = steps(feed, opened.prepared.train, seed=config.seed, batch_size=config.batch_size)
    rate = small_rate(opened)
    model.train()

    stepper.step(feed([min(opened.prepared.train, key=len)], 0), rate)
    for step in run.largest:
        # A pass before it, so that gradients are already held.
        tried: Sequence[Batch] = sorted(stream(step), key=size)[-2:]
        stepper.step(tried, rate)

    seconds = typical(stepper, stream, rate, run, lambda batch: rung(measure(batch).tokens))
    return Rehearsed(seconds, stepper.limit, run.tokens)


def typical(stepper: Stepper, stream: Stream, rate: float, run: Outline, kind: Callable[[Batch], Hashable]) -> float:
    """-> seconds of all steps, from some spread over the run. Passes of one `kind` are all the same to a processor."""
    optimizer = stepper.optimizer
    assert isinstance(optimizer, TimedOptimizer)
    rates: list[float] = []  # seconds a token
    updates: list[float] = []  # what a step takes whatever its passes
    met: set[Hashable] = set()
    begin = time.perf_counter()
    for step in evenly(run.steps, LOOKED_AT):
        passed = time.perf_counter() - begin
        if len(rates) == MOST or (len(rates) >= FEWEST and passed > PATIENCE):
            break
        fed = time.perf_counter()
        passes = stream(step)
        fed = time.perf_counter() - fed  # a feed may ask the model
        tried = passes[:: -(-len(passes) // PASSES)]
        kinds = set(map(kind, tried))
        if len(rates) >= FEWEST and kinds <= met and (passed > QUICK or len(rates) >= USUAL):
            continue
        met |= kinds
        start = time.perf_counter()
        stepper.step(tried, rate)
        updates.append(fed + optimizer.seconds)
        rates.append((time.perf_counter() - start - optimizer.seconds) / sum(map(size, tried)))
    return median(rates) * run.tokens + median(updates) * run.steps


def small_rate(opened: Opened) -> float:
    config = opened.recipe.train
    return SMALL * float(config.rate if config.learning_rate != "auto" else own_rate(opened.recipe)["value"])


def rehearsal_feed(opened: Opened, model: Packed) -> Feed:
    """What a run is fed with, but for the base's numbers, which take their own time and change no size."""

    def refer(trees: Sequence[Answers]) -> Reference:
        return no_reference

    return feed_of(opened, model, refer)


def refer_a_little(opened: Opened, model: Packed) -> float:
    """-> seconds in which the base reads all answers, before the first step; 0 where nobody asks it."""
    if not opened.recipe.objective.refers:
        return 0.0
    trees = [one for one in (*opened.shown, *opened.prepared.validation) if isinstance(one, Answers)]
    model.eval()

    def score(places: Sequence[int]) -> None:
        score_answers(model, [trees[place] for place in places], opened.tokens_per_pass, opened.device)

    return timed_passes(score, list(map(len, trees)), opened.tokens_per_pass, VALIDATED)


def size(batch: Batch) -> int:
    """Tokens of its examples: what is shared is counted for each, as in the tokens of the run."""
    return batch.size


def validate_a_little(opened: Opened, model: Packed) -> float:
    """-> seconds of one validation."""
    rows = opened.prepared.validation
    if not rows:
        return 0.0
    model.eval()
    if opened.prepared.eats == "prompts":
        some = rows[:AT_ONCE]
        return timed(lambda: rewarded(opened)(model, some)) * len(rows) / len(some)
    feed = rehearsal_feed(opened, model)

    def score(places: Sequence[int]) -> None:
        passes = feed([rows[place] for place in places], None)
        validate(model, opened.recipe.objective, passes, opened.device)

    return timed_passes(score, list(map(len, rows)), opened.tokens_per_pass, VALIDATED)


def timed_passes(score: Callable[[Sequence[int]], None], sizes: Sequence[int], limit: int, most: int) -> float:
    """-> seconds for items of `sizes` tokens, from at most `most` of their passes: those whose lengths differ."""
    groups = list(grouped([range(size) for size in sizes], limit))
    totals = [sum(sizes[place] for place in group) for group in groups]
    tried = differing(totals, most)
    seconds = sum(timed(partial(score, groups[place])) for place in tried)
    return seconds * sum(totals) / sum(totals[place] for place in tried)


def timed(work: Callable[[], object]) -> float:
    """-> seconds that `work()` took."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
