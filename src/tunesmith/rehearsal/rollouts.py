"""Some steps of a run that learns from answers of its own: written, judged, learned from, and each of these timed.

How long answers become as a model learns is not known before. So there are two numbers: with answers as long as the
model's are now, and with all of them as long as they may be.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import torch

from tunesmith.core.answers import Asked
from tunesmith.core.batch import Batch
from tunesmith.core.order import step_indices
from tunesmith.core.rollouts import pack_rollouts
from tunesmith.models.language import CausalLM, Packed
from tunesmith.opening import Opened
from tunesmith.rehearsal.excerpt import evenly
from tunesmith.rehearsal.training import Rehearsed, TimedOptimizer, rehearsal_feed, small_rate, timed
from tunesmith.stages import updates_of
from tunesmith.streams.credit import Answered
from tunesmith.streams.rollouts import seed_of
from tunesmith.tasks.prompts import PromptFeed
from tunesmith.tasks.writing import AT_ONCE
from tunesmith.train.step import Stepper
from tunesmith.train.world import World

TRIED = 3  # samplings that are timed, each of as many prompts as are answered side by side
FILLER = 5  # a token of answers whose length alone counts


@dataclass
class Playing:
    """A run in small. Its answers are kept nowhere."""

    opened: Opened
    model: CausalLM
    feed: PromptFeed
    stepper: Stepper
    optimizer: TimedOptimizer

    def prompts(self, place: int) -> list[Asked]:
        config, rows = self.opened.recipe.train, self.opened.prepared.train
        return [rows[i] for i in step_indices(config.seed, len(rows), config.batch_size, place)]  # type: ignore[misc]

    def some(self, place: int) -> list[Asked]:
        """-> the prompts of a step, no more than are answered side by side."""
        return self.prompts(place)[: -(-AT_ONCE // self.opened.recipe.objective.answers)]  # type: ignore[union-attr]

    def usual(self, number: int, place: int) -> tuple[float, float, float]:
        """-> seconds to sample and to learn, and the tokens that are learned from; each of one prompt."""
        asked = self.some(place)
        passes: list[Batch] = []
        sampled = timed(lambda: passes.extend(self.feed(asked, number * updates_of(self.opened))))
        learned = self.learned(passes)
        return sampled / len(asked), learned / len(asked), sum(batch.size for batch in passes) / len(asked)

    def learned(self, passes: Sequence[Batch]) -> float:
        """-> seconds of the passes of an update."""
        self.model.train()
        rate = small_rate(self.opened)
        return timed(lambda: self.stepper.step(passes, rate)) - self.optimizer.seconds

    def longest(self, place: int) -> tuple[float, float]:
        """-> seconds to sample and to learn, each of one prompt, were all answers as long as they may be.

        What is learned from is a whole step of such answers: the most memory that one can take.
        """
        objective, asked, every = self.opened.recipe.objective, self.some(place), self.prompts(place)
        count, length = objective.answers, objective.answer_tokens  # type: ignore[union-attr]
        tokens = [one.tokens for one in asked for _ in range(count)]
        seeds = [seed_of(0, 0, i, 0) for i in range(len(tokens))]
        written = timed(lambda: self.feed.player.write(self.model, tokens, seeds, to_the_end=False))
        groups = [
            [Answered([FILLER] * length, torch.zeros(length), False, float(k % 2)) for k in range(count)] for _ in every
        ]
        passes: list[Batch] = []

        def read() -> None:
            seen = self.feed.rollouts.seen(every, groups)
            passes.extend(pack_rollouts([part.rollout() for part in some]) for some in seen)

        seen = timed(read)
        return written / len(asked) + seen / len(every), self.learned(passes) / len(every)


def play_a_little(opened: Opened, model: Packed, optimizer: TimedOptimizer, steps: int) -> Rehearsed:
    """Typical samplings first: the moments of AdamW must be there when the longest answers come."""
    assert isinstance(model, CausalLM)
    feed = rehearsal_feed(opened, model)
    assert isinstance(feed, PromptFeed)
    feed.rollouts.folder = None
    config, updates = opened.recipe.train, updates_of(opened)
    stepper = Stepper(model, opened.recipe.objective, optimizer, World(opened.device), clip=config.clip)
    playing = Playing(opened, model, feed, stepper, optimizer)
    samplings = -(-steps // updates)
    prompts = min(config.batch_size, len(opened.prepared.train))
    try:
        playing.usual(0, 0)  # kernels are prepared
        places = evenly(samplings, TRIED)
        tried = [playing.usual(number, place) for number, place in enumerate(places, 1)]
        sampled, learned, tokens = (median(values) for values in zip(*tried, strict=True))
        update = optimizer.seconds * steps
        longest = playing.longest(places[0])
    finally:
        feed.close()
    at_most = prompts * (longest[0] * samplings + longest[1] * steps) + update
    return Rehearsed(
        seconds=prompts * learned * steps + update,
        limit=stepper.limit,
        tokens=round(prompts * tokens * steps),
        rollouts=prompts * sampled * samplings,
        longest=max(at_most, prompts * (sampled * samplings + learned * steps) + update),
    )
