"""A batch whose rows go different ways: in the place of a module stands one that sends each row through its own.

Each row is computed once, by the very layers that would serve it alone, so that any kind of layer can be mixed. Virtual
tokens stand before the rows that have some; the places before the others are masked.

Shapes: B rows of the batch; N = B * n rows of an input, for experts read all tokens of the batch as one list.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from tunesmith.core.errors import UserError
from tunesmith.core.virtual import VirtualTokens
from tunesmith.methods.layer import Layer


class Batch:
    """What the mixed modules of a network must know of the batch that passes: which of its rows they see."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.here: Tensor | None = None  # their numbers; None outside of the network, where nobody knows them

    def begin(self, network: nn.Module, inputs: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        """A hook before the network."""
        read = inputs[0] if inputs else named.get("input_ids", named.get("inputs_embeds"))
        assert isinstance(read, Tensor)
        if len(read) != self.rows:
            raise UserError(f"rows: the batch has {len(read)}, and adapters were given for {self.rows}")
        self.here = torch.arange(self.rows)

    def end(self, network: nn.Module, inputs: tuple[Any, ...], result: Any) -> None:
        """A hook after it, whatever happened."""
        self.here = None

    @contextmanager
    def some(self, rows: Tensor) -> Iterator[None]:
        """Inside the block only these rows pass: a mixed module may hold others."""
        before, self.here = self.here, rows
        yield
        self.here = before


class Mixed(Layer):
    """`ways`: for each row of the batch, the place in `modules` of the one that serves it; they may hold mixed ones."""

    def __init__(self, base: nn.Module, modules: Sequence[nn.Module], ways: Sequence[int], batch: Batch) -> None:
        super().__init__(base)
        self.served = nn.ModuleList(modules)
        self.ways = torch.tensor(ways)
        self.batch = batch

    @property
    def weight(self) -> Tensor:
        """Of an embedding or a head, whose device and precision others ask for."""
        return self._base.weight

    @property
    def num_embeddings(self) -> int:
        return self._base.num_embeddings

    @property
    def _base(self) -> Any:
        return self.base

    def forward(self, *inputs: Any, **named: Any) -> Any:
        if not self.active:
            return self.base(*inputs, **named)
        here = self.batch.here
        assert here is not None, "a mixed batch goes through the network itself: rows side by side, padded"
        count, ways = len(inputs[0]), self.ways[here]
        each = torch.arange(count).view(len(here), -1)  # (B, n)
        results: list[tuple[Tensor, Any]] = []
        for way in ways.unique().tolist():
            places = each[ways == way].flatten().to(inputs[0].device)
            own = {key: _some(value, places, count) for key, value in named.items()}
            with self.batch.some(here[ways == way]):
                results.append((places, self.served[way](*(_some(value, places, count) for value in inputs), **own)))
        return _together(results, count)


class MixedTokens(VirtualTokens):
    """`each`: the virtual tokens of each row of the batch, None for a row without. All that have some have as many."""

    def __init__(self, each: Sequence[VirtualTokens | None]) -> None:
        counts = sorted({tokens.count for tokens in each if tokens is not None})
        if len(counts) > 1:
            several = " and ".join(map(str, counts))
            raise UserError(f"rows: adapters with {several} virtual tokens clash in one batch; ask one after the other")
        super().__init__(counts[0])
        self.each = list(each)
        self.rows = torch.tensor([tokens is not None for tokens in each])
        if self.embeddings() is not None and self.keys_values() is not None:
            raise UserError("rows: a prefix and a prompt clash in one batch; ask one after the other")

    def embeddings(self) -> Tensor | None:
        return _each([None if tokens is None else tokens.embeddings() for tokens in self.each])

    def keys_values(self) -> Tensor | None:
        return _each([None if tokens is None else tokens.keys_values() for tokens in self.each])


def _each(values: list[Tensor | None]) -> Tensor | None:
    """One beside the other, zeros where there is none; None when there are none at all."""
    known = next((value for value in values if value is not None), None)
    if known is None:
        return None
    return torch.stack([torch.zeros_like(known) if value is None else value for value in values])


def _some(value: Any, places: Tensor, count: int) -> Any:
    """The rows `places` of what has `count` of them; anything else as it is."""
    return value.index_select(0, places) if isinstance(value, Tensor) and value.shape[:1] == (count,) else value


def _together(results: list[tuple[Tensor, Any]], count: int) -> Any:
    """Every part's rows back in their places; routers answer with several tensors."""
    if isinstance(results[0][1], tuple):
        several = zip(*(part for _, part in results), strict=True)
        where = [places for places, _ in results]
        return tuple(_together(list(zip(where, parts, strict=True)), count) for parts in several)
    whole = results[0][1].new_empty(count, *results[0][1].shape[1:])
    for places, part in results:
        whole.index_copy_(0, places, part)
    return whole
