"""How much of a batch passes through the model at once, whatever kind it is."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

from torch import Tensor

from tunesmith.core.batch import IGNORED, Batch


@dataclass(frozen=True, slots=True)
class Size:
    examples: int
    tokens: int  # the length of the longest tensor: tokens of a packed row, images of a stack
    trained: int  # labelled tokens, or units where there are no labels


def measure(batch: Batch) -> Size:
    """-> the size of `batch`; one that is made of batches is as long as all of them."""
    values = [getattr(batch, f.name) for f in fields(batch)]
    inner = [measure(v) for v in values if isinstance(v, Batch)]
    longest = max((len(v) for v in values if isinstance(v, Tensor) and v.ndim), default=0)
    labels = getattr(batch, "labels", None)
    own = int((labels != IGNORED).sum()) if isinstance(labels, Tensor) else 0
    return Size(
        examples=len(batch.rows),
        tokens=max(longest, sum(s.tokens for s in inner)),
        trained=own + sum(s.trained for s in inner) or batch.units,
    )


def cut(passes: Sequence[Batch], limit: int | None) -> list[Batch]:
    """-> the same examples in passes of at most `limit` tokens, where one example alone may be longer."""
    if limit is None:
        return list(passes)
    fitting: list[Batch] = []
    for batch in passes:
        halves = batch.halves() if measure(batch).tokens > limit else None
        fitting += [batch] if halves is None else cut(halves, limit)
    return fitting
