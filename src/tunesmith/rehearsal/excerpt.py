"""Which parts of a run are tried before it: a few steps, a few rows; and how often its calendar validates and saves."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, lcm

from tunesmith.core.batch import Example
from tunesmith.core.order import step_indices
from tunesmith.models.language import rung
from tunesmith.streams.tokens import fitted
from tunesmith.train.config import Train

LOOKED_AT = 2000  # steps whose rows are counted; of a longer run, so many, evenly spread
NEAR = 1.25
_GOLDEN = 0.6180339887498949


@dataclass(frozen=True, slots=True)
class Outline:
    """A run by its numbers, before anything has passed through a model."""

    steps: int
    tokens: int  # of all steps
    largest: tuple[int, ...]  # the steps of the passes that need most memory


def outline(examples: Sequence[Example], config: Train, steps: int, tokens_per_pass: int) -> Outline:
    """Count the tokens of the run, and find its largest passes: by tokens, and by what attention keeps of them."""
    seen = range(steps) if steps <= LOOKED_AT else [i * steps // LOOKED_AT for i in range(LOOKED_AT)]
    tokens = 0
    fullest = widest = (0, 0, 0)  # tokens, pairs, step
    for step in seen:
        chosen = [examples[i] for i in step_indices(config.seed, len(examples), config.batch_size, step)]
        groups = fitted(chosen, tokens_per_pass)
        tokens += sum(map(len, chosen))
        for group in groups:
            found = (sum(map(len, group)), _pairs(group), step)
            fullest = max(fullest, found, key=lambda f: f[:2])
            widest = max(widest, found, key=lambda f: f[1])
    # Mostly the pass with most tokens is near the most pairs too, and tells enough.
    largest = (fullest[2],) if widest[1] <= NEAR * fullest[1] else (fullest[2], widest[2])
    return Outline(steps, round(tokens * steps / len(seen)), largest)


def _pairs(group: Sequence[Example]) -> int:
    """Attention looks at each pair of tokens of an example."""
    return sum(len(example) ** 2 for example in group)


def evenly(count: int, most: int) -> list[int]:
    """-> at most `most` of the numbers 0..count-1, so ordered that each beginning of the list is spread over all."""
    places = (int((i + 1) * _GOLDEN % 1 * count) for i in range(4 * most))
    return list(dict.fromkeys(places))[: min(count, most)]


def differing(totals: Sequence[int], most: int) -> list[int]:
    """-> the places of at most `most` passes, no two of which a processor sees as the same length; the longest first.

    Kernels are made, and kept, for each length that is new: what a run holds in the end depends on them.
    """
    first: dict[int, int] = {}
    for place, tokens in enumerate(totals):
        first.setdefault(rung(tokens), place)
    ordered = [first[length] for length in sorted(first, reverse=True)]
    number = min(most, len(ordered))
    return [ordered[i * len(ordered) // number] for i in range(number)]


@dataclass(frozen=True, slots=True)
class Calendar:
    """What a run does between its steps, if nothing ends it early."""

    validations: int
    saves: int
    kept: int  # checkpoints on the disk at one time, at most

    @classmethod
    def of(cls, config: Train, steps: int, validated: bool) -> "Calendar":
        """Every validation counts as the best so far, which is then saved: the dearest case, and the usual one."""
        every = config.checkpoint_interval(steps)
        times = config.evaluation_interval(steps)
        saves = ceil(steps / every)  # the last step is saved too
        if not validated:
            return cls(0, saves, min(saves, config.keep_checkpoints + 1))
        validations = ceil(steps / times)
        both = steps // lcm(every, times) + (steps % lcm(every, times) != 0)
        saves += validations - both
        return cls(validations, saves, min(saves, config.keep_checkpoints + 2))
