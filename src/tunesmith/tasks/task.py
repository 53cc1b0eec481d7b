"""The face of a task: how examples of one kind become passes, and what is measured on them before and after."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from tunesmith.core.answers import Answers
from tunesmith.core.batch import Batch, Example, TokenBatch
from tunesmith.core.protocols import Objective
from tunesmith.evaluate.before_after import Outcome
from tunesmith.models.language import Packed
from tunesmith.streams.answers import Reference
from tunesmith.streams.stream import Feed
from tunesmith.train.progress import Event

if TYPE_CHECKING:
    from tunesmith.evidence import Questions
    from tunesmith.opening import Opened

Scorer = Callable[[TokenBatch], Tensor]
"""A model's face: the log-probability of every label of a packed row."""
Refer = Callable[[Sequence[Answers]], Reference]
"""Trees -> what the frozen base says of their answers."""


@dataclass(frozen=True, slots=True)
class Task:
    """One kind of examples."""

    feed: Callable[["Opened", Packed, Refer], Feed]
    """How examples become passes, while the given model is trained."""
    sizes: Callable[["Questions"], list[int]]
    """The tokens that pass for each question of the test part."""
    outcomes: Callable[[Scorer, "Questions", Sequence[int], int, torch.device], list[Outcome]]
    """What a model does on the questions at some places; a pass holds at most so many tokens."""


@runtime_checkable
class LiveFeed(Protocol):
    """A feed that is more than a function: it judges by itself, speaks, hears what the loop does, and is closed."""

    said: list[Callable[[str], None]]  # who is told its sentences

    def validate(self, rows: Sequence[Example]) -> Mapping[str, float]: ...
    def hear(self, event: Event) -> None: ...
    def close(self) -> None: ...


@contextmanager
def attended(
    feed: Feed, say: Callable[[str], None], hear: Callable[[Event], None]
) -> Iterator[Callable[[Event], None]]:
    """-> what is to be told of events while the feed is in use."""
    if not isinstance(feed, LiveFeed):
        yield hear
        return
    live = feed
    live.said.append(say)

    def both(event: Event) -> None:
        live.hear(event)
        hear(event)

    try:
        yield both
    finally:
        live.close()


@torch.no_grad()
def validate(
    model: nn.Module, objective: Objective, passes: Sequence[Batch], device: torch.device
) -> Mapping[str, float]:
    """-> the objective's `loss` and what it tells, as means over the units of all passes."""
    totals: dict[str, float] = {}
    for batch in passes:
        found = objective(model, batch.to(device))
        for name, value in {"loss": found.total, **found.metrics}.items():
            totals[name] = totals.get(name, 0.0) + float(value)
    units = sum(batch.units for batch in passes)
    return {name: value / units for name, value in totals.items()}
