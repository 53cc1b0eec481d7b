"""Keys and values of the rows that are being written, in slots that stand ready and are used again.

A row begins at place 0 of its slot; what stands behind it is hidden by a mask. So a slot takes another row while its
neighbours go on, and a step writes one place for each row and copies nothing else.

Shapes: L layers, R slots, K key/value heads, C places, D width of a head; B rows of a step, S places that it looks at.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

STEP = 32  # places are rounded up to this, so that sums keep their order whatever stands beside a row


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of the network that fills the cache."""

    layers: int
    heads: int
    width: int
    dtype: torch.dtype
    device: torch.device


class Cache:
    """`keys` and `values` are (L, R, K, C, D)."""

    def __init__(self, sizes: Sizes, slots: int) -> None:
        self.sizes, self.slots = sizes, slots
        self.keys, self.values = (self._empty(0) for _ in range(2))

    def _empty(self, places: int) -> Tensor:
        s = self.sizes
        return torch.empty(s.layers, self.slots, s.heads, places, s.width, dtype=s.dtype, device=s.device)

    @property
    def places(self) -> int:
        return self.keys.shape[3]

    def make_room(self, places: int) -> None:
        """Grow to at least so many places, by half again when it must grow: what is copied stays in proportion."""
        if places <= self.places:
            return
        grown = -(-max(places, self.places * 3 // 2) // STEP) * STEP
        self.keys, self.values = self._grown(self.keys, grown), self._grown(self.values, grown)

    def _grown(self, old: Tensor, places: int) -> Tensor:
        new = self._empty(places)
        new[:, :, :, : old.shape[3]] = old
        new[:, :, :, old.shape[3] :] = 0  # a hidden place counts with a weight of 0, which must meet a number
        return new

    def put(self, layer: int, slots: Tensor, places: Tensor, k: Tensor, v: Tensor) -> None:
        """(M,), (M,), (M, K, D) twice: keys and values of one layer at M places."""
        self.keys[layer].transpose(1, 2)[slots, places] = k
        self.values[layer].transpose(1, 2)[slots, places] = v

    def spread(self, slots: Sequence[int], beginning: Tensor) -> None:
        """(N, 2 L, K, D) -> the first places of `slots`."""
        grid = beginning.permute(1, 2, 0, 3)[:, None]  # (2 L, 1, K, N, D)
        where = torch.tensor(slots, device=grid.device)
        self.keys[:, where, :, : len(beginning)] = grid[0::2]
        self.values[:, where, :, : len(beginning)] = grid[1::2]

    def copy(self, source: int, targets: Sequence[int], places: int) -> None:
        """What the first `places` of a slot hold, into others."""
        for grid in (self.keys, self.values):
            for target in targets:
                if target != source:
                    grid[:, target, :, :places] = grid[:, source, :, :places]


class Step:
    """Where a step writes, and what each of its rows sees. `lengths` (B,): places that are filled before it."""

    def __init__(self, cache: Cache, lengths: Tensor) -> None:
        self.cache, self.lengths = cache, lengths
        heads, rows = cache.sizes.heads, len(lengths)
        self.seen = -(-(int(lengths.max()) + 1) // STEP) * STEP  # S
        slot = torch.arange(rows * heads, device=lengths.device)
        self._flat = slot * cache.places + lengths.repeat_interleave(heads)  # (B K,)
        self._masks: dict[int | None, Tensor] = {}

    def write(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """(B, K, D) twice, put behind each row -> (B, K, S, D) twice, all that a row may see, and more."""
        found = []
        for grid, new in ((self.cache.keys[layer], k), (self.cache.values[layer], v)):
            grid.view(-1, grid.shape[-1]).index_copy_(0, self._flat, new.reshape(-1, new.shape[-1]))
            found.append(grid[: len(self.lengths), :, : self.seen])
        return found[0], found[1]

    def mask(self, window: int | None) -> Tensor:
        """-> (B, 1, 1, S), 0 where a row may look and -inf elsewhere."""
        if window not in self._masks:
            places, last = torch.arange(self.seen, device=self.lengths.device), self.lengths[:, None]
            hidden = places > last
            if window is not None:
                hidden |= last - places >= window
            mask = torch.zeros(hidden.shape, dtype=self.cache.sizes.dtype, device=hidden.device)
            self._masks[window] = mask.masked_fill_(hidden, float("-inf"))[:, None, None]
        return self._masks[window]
