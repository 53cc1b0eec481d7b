"""Answers by the network's own forward pass with transformers' key-value cache: for families without a fast walk.

Rows are padded on the left. A row that has ended gives its place to the next prompt: that is read by itself, and both
caches are laid side by side. Where the cache is of a kind that cannot be cut (a state instead of keys), or each row has
its own adapter, rows stay together until the last has ended.

Shapes: B rows, S tokens so far, V vocabulary; K key/value heads, D width of a head.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from tunesmith.core.layers import Mixing
from tunesmith.core.virtual import virtual_of
from tunesmith.models.thin import Switch

TYPES = {"full_attention", "sliding_attention"}  # what a window hides of all keys, a mask hides too


class PaddedRows:
    """The rows that are being written, `slots` at most."""

    def __init__(self, network: Any, slots: int, prompts: Sequence[Sequence[int]], switch: Switch) -> None:
        self.network, self.switch = network, switch
        self.mixed = mixes_rows(network)
        self.refills = not self.mixed and _can_be_cut(network.config)
        self.slots = len(prompts) if self.mixed else slots
        self.device = network.get_input_embeddings().weight.device
        self.grid: Grid | None = None

    def fill(self, rows: Sequence[int], prompts: Sequence[Sequence[int]]) -> Tensor:
        """Begin a row with each prompt. -> (n, V), the logits of what follows, float32."""
        if self.grid is None or not self.refills:
            assert list(rows) == list(range(len(prompts))), "rows that stay together begin together"
            self.grid = None
        read = [(some, *self._read([prompts[i] for i in some])) for some in self._side_by_side(prompts)]
        logits = torch.cat([part for _, part, _ in read])
        order = [place for some, _, _ in read for place in some]
        grid, where = (read[0][2] if self.grid is None else self.grid), list(range(len(prompts)))
        if self.grid is None:
            for _, _, more in read[1:]:
                grid = grid.beside(more)
            where = _inverse(order)
        else:
            before = len(grid.present)
            for _, _, more in read:
                grid = grid.beside(more)
            newest = {row: before + _inverse(order)[i] for i, row in enumerate(rows)}
            where = [newest.get(row, row) for row in range(max(before, max(rows) + 1))]
        self.grid = grid if where == list(range(len(grid.present))) else grid.rows(where)
        return logits[_inverse(order)]

    def step(self, tokens: Sequence[int]) -> Tensor:
        """Read the newest token of each row. -> (B, V), what follows."""
        assert self.grid is not None
        if len(tokens) < len(self.grid.present) and self.refills:
            self.grid = self.grid.rows(range(len(tokens)))
        read = torch.tensor([*tokens, *[0] * (len(self.grid.present) - len(tokens))], device=self.device)[:, None]
        self.grid.present = F.pad(self.grid.present, (0, 1), value=1)
        positions = self.grid.present.sum(1, keepdim=True) - 1
        self.switch.on = True
        with _virtual_tokens_are_read(self.network):
            logits = self._forward(read, self.grid.present, positions, self.grid.cache)
        self.switch.on = False
        return logits[: len(tokens)]

    def move(self, source: int, target: int) -> None:
        """A row goes on in another slot."""
        assert self.grid is not None
        where = list(range(len(self.grid.present)))
        where[target] = source
        self.grid = self.grid.rows(where)

    def _side_by_side(self, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
        """-> the places of prompts that are read together. Nothing may stand between virtual tokens and a text."""
        if virtual_of(self.network) is None or self.mixed:
            return [list(range(len(prompts)))]
        by_length: dict[int, list[int]] = {}
        for place, prompt in enumerate(prompts):
            by_length.setdefault(len(prompt), []).append(place)
        return list(by_length.values())

    def _read(self, prompts: Sequence[Sequence[int]]) -> tuple[Tensor, "Grid"]:
        tokens, present = _left_padded(prompts, self.device)
        cache = DynamicCache() if self.refills else DynamicCache(config=self.network.config)
        positions = (present.cumsum(1) - 1).clamp_(min=0)
        logits = self._forward(tokens, present, positions, cache)
        virtual = virtual_of(self.network)
        if virtual is not None:
            ahead = present.new_ones(len(present), virtual.count)
            if virtual.rows is not None:
                ahead *= virtual.rows.to(self.device)[:, None]
            present = torch.cat([ahead, present], 1)
        return logits, Grid(cache, present)

    def _forward(self, tokens: Tensor, present: Tensor, positions: Tensor, cache: Any) -> Tensor:
        # An index, not a count: the slice of a count is not contiguous, and torch then copies the head for each row.
        last = torch.tensor([tokens.shape[1] - 1], device=self.device)
        result = self.network(
            input_ids=tokens,
            attention_mask=present,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=last,
        )
        return result.logits[:, -1].float().cpu()


@dataclass
class Grid:
    """What some rows have read: every layer's keys and values (B, K, S, D) and where there is a token, (B, S)."""

    cache: Any
    present: Tensor

    def rows(self, wanted: Sequence[int]) -> "Grid":
        """These rows, in this order."""
        where = torch.tensor(list(wanted), device=self.present.device)
        pairs = [(k.index_select(0, where), v.index_select(0, where)) for k, v in self._pairs()]
        return Grid(DynamicCache(pairs), self.present.index_select(0, where))

    def beside(self, other: "Grid") -> "Grid":
        """The rows of both, as wide as the longest of them needs."""
        width = int(max(self.present.sum(1).max(), other.present.sum(1).max()))
        both = zip(self._wide(width), other._wide(width), strict=True)
        pairs = [(torch.cat([k, more_k]), torch.cat([v, more_v])) for (k, v), (more_k, more_v) in both]
        here = [F.pad(one.present, (width - one.present.shape[1], 0)) for one in (self, other)]
        return Grid(DynamicCache(pairs), torch.cat(here))

    def _pairs(self) -> list[tuple[Tensor, Tensor]]:
        return [(layer.keys, layer.values) for layer in self.cache.layers]

    def _wide(self, width: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Padded or cut on the left, where no row has a token that counts."""
        for k, v in self._pairs():
            missing = (0, 0, width - k.shape[2], 0)
            yield F.pad(k, missing), F.pad(v, missing)


def mixes_rows(network: Any) -> bool:
    """Whether each row of a batch is served in its own way: all of them must then pass in every call."""
    virtual = virtual_of(network)
    return (virtual is not None and virtual.rows is not None) or any(isinstance(m, Mixing) for m in network.modules())


@contextmanager
def _virtual_tokens_are_read(network: Any) -> Iterator[None]:
    """Inside the block nothing is put before the text: it is in the cache, as any other token."""
    virtual = virtual_of(network)
    if virtual is not None:
        virtual.active = False
    try:
        yield
    finally:
        if virtual is not None:
            virtual.active = True


def _can_be_cut(config: Any) -> bool:
    """Whether the cache holds keys and values, layer by layer, so that rows and places can be taken from it."""
    text = config.get_text_config()
    layers = DynamicCache(config=config).layers
    plain = all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)
    named = set(getattr(text, "layer_types", None) or ())
    return plain and named <= TYPES and not getattr(text, "num_kv_shared_layers", 0)


def _inverse(order: Sequence[int]) -> list[int]:
    """`order[i]` is the place of the i-th -> which one has each place."""
    return sorted(range(len(order)), key=order.__getitem__)


def _left_padded(prompts: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    longest = max(map(len, prompts))
    tokens = torch.zeros(len(prompts), longest, dtype=torch.long)
    present = torch.zeros_like(tokens)
    for i, prompt in enumerate(prompts):
        tokens[i, longest - len(prompt) :] = torch.tensor(prompt)
        present[i, longest - len(prompt) :] = 1
    return tokens.to(device), present.to(device)
