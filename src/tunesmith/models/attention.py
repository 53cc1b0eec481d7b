"""Causal attention over packed rows: an example never sees its neighbour, on any device, with nothing installed.

softmax(Q K' / sqrt(D)) V, computed for groups of examples of similar length. Examples stand at the start of their
slot, so the causal rule alone hides the empty end of a slot. The forward pass is torch's flash attention; the backward
pass on a CPU recomputes the probabilities from the saved log-sum-exp with batched products.

An encoder looks at what stands behind a token as well (`bidirectional`): then a mask hides the empty end of a slot.

A beginning that all examples of a row share stands in it once. Each slot has a copy of it, so attention costs what it
would cost without sharing, and everything outside of attention is computed once.

Shapes: T tokens, H heads, K key/value heads, G = H / K, D width of a head; n examples in slots of S tokens.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

STEP = 32  # lengths are rounded up to this: few shapes, so that prepared kernels are used again

BLOCK = 256  # queries whose probabilities exist at one time in the backward pass


@dataclass(frozen=True, slots=True)
class Slots:
    """Examples of similar length: where their tokens stand in the row and in a grid of n slots of S tokens."""

    count: int
    size: int
    mask: Tensor | None  # (n, 1, S, S), what may be seen where the causal rule is not enough
    causal: bool  # whether no token looks at what stands behind it
    tokens: Tensor  # (M,), places in the packed row
    places: Tensor  # (M,), places in the flattened (n, S) grid
    own_tokens: Tensor  # (M,) or fewer: without the copies of a shared beginning, which the first example owns
    own_places: Tensor
    sources: Tensor  # (n * S,), the token of each place; any token where a slot is empty
    empty: Tensor  # the places without a token
    foreign: Tensor  # the places without a token of their own

    def gather(self, x: Tensor) -> Tensor:
        """(T, heads, D) -> (n, heads, S, D), zero where a slot is empty."""
        return self._grid(x, self.empty)

    def gather_own(self, x: Tensor) -> Tensor:
        """The same, zero in copies: what must count once."""
        return self._grid(x, self.foreign)

    def _grid(self, x: Tensor, zero: Tensor) -> Tensor:
        grid = x.index_select(0, self.sources).index_fill_(0, zero, 0)
        return grid.view(self.count, self.size, *x.shape[1:]).transpose(1, 2)

    def own(self, grid: Tensor) -> Tensor:
        """(n, heads, S, D) -> (M, heads, D), in the order of `own_tokens`."""
        flat = grid.transpose(1, 2).reshape(self.count * self.size, grid.shape[1], grid.shape[3])
        return flat.index_select(0, self.own_places)

    def scatter(self, grid: Tensor, row: Tensor) -> None:
        """(n, heads, S, D) -> its places in the packed (T, heads, D) `row`."""
        row.index_copy_(0, self.own_tokens, self.own(grid))


@dataclass(frozen=True, slots=True)
class Packing:
    """How the examples of one packed row attend; made once a pass and shared by all layers."""

    lengths: tuple[int, ...]  # of the examples, without what they share
    branches: Tensor | None
    shared: int  # tokens at the head of the row that every example begins with, learned ones included
    slots: dict[int | None, tuple[Slots, ...]]  # by sliding window; filled when a layer first asks
    prefix: Tensor | None = None  # (N, 2 L, K, D), learned keys and values before the row, of every layer
    bidirectional: bool = False  # every token of an example sees all of it

    @classmethod
    def both_ways(cls, lengths: Sequence[int]) -> "Packing":
        """For an encoder: whole examples side by side."""
        return cls(tuple(lengths), None, 0, {}, bidirectional=True)

    @classmethod
    def of(
        cls, lengths: Sequence[int], branches: Tensor | None = None, shared: int = 0, prefix: Tensor | None = None
    ) -> "Packing":
        if prefix is None:
            return cls(tuple(lengths), branches, shared, {})
        if branches is not None:
            branches = torch.cat([branches.new_zeros(len(prefix)), branches])
        return cls(tuple(lengths), branches, shared + len(prefix), {}, prefix)

    def groups(self, window: int | None, device: torch.device) -> tuple[Slots, ...]:
        if window is not None and window >= self.shared + max(self.lengths):
            window = None  # never reached
        if window not in self.slots:
            self.slots[window] = _group(self, window, device)
        return self.slots[window]


def attend(  # noqa: PLR0913 - what a layer is asked for, and what it knows of itself
    q: Tensor, k: Tensor, v: Tensor, packing: Packing, scale: float, window: int | None = None, layer: int = 0
) -> Tensor:
    """(T, H, D), (T, K, D), (T, K, D) -> (T, H, D). `layer` chooses among learned keys and values.

    To the slots these are tokens that all examples share; nobody asks what they see.
    """
    if packing.prefix is None:
        return _attend(q, k, v, packing, scale, window)
    keys, values = packing.prefix[:, 2 * layer].to(k.dtype), packing.prefix[:, 2 * layer + 1].to(v.dtype)
    q = torch.cat([q.new_zeros(len(keys), *q.shape[1:]), q])
    return _attend(q, torch.cat([keys, k]), torch.cat([values, v]), packing, scale, window)[len(keys) :]


def _attend(q: Tensor, k: Tensor, v: Tensor, packing: Packing, scale: float, window: int | None) -> Tensor:
    groups = packing.groups(window, q.device)
    if q.device.type == "cpu":
        return PackedAttention.apply(q, k, v, groups, scale, packing.shared)
    return plain_attend(q, k, v, groups, scale)


def plain_attend(q: Tensor, k: Tensor, v: Tensor, groups: Sequence[Slots], scale: float) -> Tensor:
    """The twin of `PackedAttention`, differentiated by torch: what it must equal, and what other devices run."""
    row = torch.zeros_like(q)
    for slots in groups:
        grid = F.scaled_dot_product_attention(
            slots.gather(q), slots.gather(k), slots.gather(v),
            attn_mask=slots.mask, is_causal=slots.mask is None, scale=scale, enable_gqa=True,
        )  # fmt: skip
        row = row.index_copy(0, slots.own_tokens, slots.own(grid))
    return row


class PackedAttention(torch.autograd.Function):
    """`attend` on a CPU."""

    @staticmethod
    def forward(  # noqa: PLR0913 - autograd takes no keywords
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, groups: tuple[Slots, ...], scale: float, shared: int
    ) -> Tensor:
        (row,) = _rows(groups, q)
        sums = []
        for slots in groups:
            # torch counts heads of keys for itself: grouped queries need no copies
            grid, log_sum = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
                slots.gather(q), slots.gather(k), slots.gather(v),
                0.0, slots.mask is None, attn_mask=_additive(slots.mask, q.dtype), scale=scale,
            )  # fmt: skip
            slots.scatter(grid, row)
            sums.append(log_sum)
        ctx.save_for_backward(q, k, v, row, *sums)
        ctx.groups, ctx.scale, ctx.shared = groups, scale, shared
        return row

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out, *sums = ctx.saved_tensors
        dq, dk, dv = _rows(ctx.groups, q, k, v)
        dout = grads[0]
        delta = (dout * out).sum(-1, keepdim=True, dtype=torch.float32)  # (T, H, 1)
        heads = torch.zeros(2, ctx.shared, *k.shape[1:], device=k.device)  # of keys and values that all examples share
        for slots, log_sum in zip(ctx.groups, sums, strict=True):
            parts = _backward(slots, (q, k, v, dout, delta), log_sum, ctx.scale)
            for grid, row in zip(parts, (dq, dk, dv), strict=True):
                slots.scatter(grid, row)
            if ctx.shared:
                for head, grid in zip(heads, parts[1:], strict=True):
                    head += grid[:, :, : ctx.shared].float().sum(0).transpose(0, 1)
        dk[: ctx.shared], dv[: ctx.shared] = heads.to(k.dtype)
        return dq, dk, dv, None, None, None


def _rows(groups: Sequence[Slots], *like: Tensor) -> list[Tensor]:
    """-> rows to be filled, zero where tokens stand behind the last example and belong to none."""
    used = sum(len(slots.own_tokens) for slots in groups)
    rows = [torch.empty_like(x) for x in like]
    for row in rows:
        row[used:] = 0
    return rows


def _backward(slots: Slots, tensors: Sequence[Tensor], log_sum: Tensor, scale: float) -> tuple[Tensor, ...]:
    """The gradient of softmax(Q K') V by FlashAttention's formulas (https://arxiv.org/abs/2205.14135), B.4.

    P = exp(s Q K' - L)    dS = P (dO V' - delta)    dQ = s dS K    dK = dS' s Q    dV = P' dO

    What is subtracted is part of the product (two more columns), and so from a sum in float32 before it is rounded:
    in half precision this saves passes over (S, S) and rounds a large probability, whose logarithm is small, the least.
    """
    q, k, v = (slots.gather(x) for x in tensors[:3])
    dout, delta = (slots.gather_own(x) for x in tensors[3:])  # a copy's output is nobody's input
    q = q * scale
    dq, dk, dv = torch.empty_like(q), torch.zeros_like(k, dtype=torch.float32), torch.zeros_like(v, dtype=torch.float32)
    for start in range(0, slots.size, BLOCK):
        # where what stands behind is not looked at, no product is made with it
        rows, keys = slice(start, start + BLOCK), slice(0, start + BLOCK if slots.causal else slots.size)
        seen = None if slots.mask is None else slots.mask[:, :, rows, keys]
        asked = (x[:, :, rows] for x in (q, dout, delta, log_sum[..., None]))
        dq[:, :, rows], dk_part, dv_part = _backward_block((*asked, k[:, :, keys], v[:, :, keys]), seen)
        dk[:, :, keys] += dk_part
        dv[:, :, keys] += dv_part
    return dq.mul_(scale), dk.to(k.dtype), dv.to(v.dtype)


def _backward_block(tensors: Sequence[Tensor], seen: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """(n, H, B, .) of q, dO, delta, L and (n, K, E, D) of k, v, the queries being the last B of E -> dQ / s, dK, dV."""
    k, v = (x.reshape(-1, *x.shape[2:]) for x in tensors[4:])  # (nK, E, D)
    n, heads, b, d = tensors[0].shape
    e = k.shape[1]
    # The G query heads of a key head side by side: (nK, GB, .)
    q, dout, delta, log_sum = (x.reshape(len(k), -1, x.shape[-1]) for x in tensors[:4])
    p = product_less(q, k, log_sum).exp_()
    square = p.view(n, heads, b, e)
    square.tril_(e - b) if seen is None else square.masked_fill_(~seen, 0)
    ds = product_less(dout, v, delta).mul_(p)
    dv = torch.bmm(p.transpose(1, 2), dout)
    dq = torch.bmm(ds, k)
    dk = torch.bmm(ds.transpose(1, 2), q)
    return dq.view(n, heads, b, d), dk.view(n, -1, e, d), dv.view(n, -1, e, d)


def product_less(a: Tensor, b: Tensor, less: Tensor) -> Tensor:
    """a b' - less, where `less` (..., 1) is float32, with one rounding."""
    high = less.to(a.dtype)
    low = (less - high).to(a.dtype)
    return torch.bmm(torch.cat([a, high, low], -1), F.pad(b, (0, 2), value=-1.0).transpose(1, 2))


def _additive(mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return None if mask is None else torch.zeros_like(mask, dtype=dtype).masked_fill_(~mask, float("-inf"))


def _group(packing: Packing, window: int | None, device: torch.device) -> tuple[Slots, ...]:
    by_size: dict[tuple[int, bool], list[tuple[int, int]]] = defaultdict(list)
    branches, start = packing.branches, packing.shared
    for length in packing.lengths:
        tree = branches is not None and bool(branches[start : start + length].any())
        whole = packing.shared + length
        masked = packing.bidirectional or tree or (window is not None and whole > window)
        by_size[-(-whole // STEP) * STEP, masked].append((start, length))
        start += length
    return tuple(
        _slots(size, examples, packing, window, masked, device) for (size, masked), examples in sorted(by_size.items())
    )


def _slots(
    size: int, examples: list[tuple[int, int]], packing: Packing, window: int | None, masked: bool, device: torch.device
) -> Slots:
    shared = packing.shared
    tokens = torch.cat([torch.cat([torch.arange(shared), torch.arange(s, s + n)]) for s, n in examples])
    places = torch.cat([torch.arange(i * size, i * size + shared + n) for i, (_, n) in enumerate(examples)])
    first = examples[0][0] == shared  # the row's first example is the first of its group
    own = (tokens >= shared) | (places < shared if first else torch.zeros_like(tokens, dtype=torch.bool))
    total = len(examples) * size
    sources = torch.zeros(total, dtype=torch.long).index_copy_(0, places, tokens)
    empty, foreign = _others(places, total), _others(places[own], total)
    seen = _present(size, places) if packing.bidirectional else None
    if masked and seen is None:
        seen = _mask(size, tokens, places, packing.branches, window)
    mask = None if seen is None else seen.to(device)
    moved = [x.to(device) for x in (tokens, places, tokens[own], places[own], sources, empty, foreign)]
    return Slots(len(examples), size, mask, not packing.bidirectional, *moved)


def _others(places: Tensor, total: int) -> Tensor:
    """-> the numbers below `total` that are not in `places`."""
    return torch.ones(total, dtype=torch.bool).index_fill_(0, places, False).nonzero()[:, 0]


def _present(size: int, places: Tensor) -> Tensor:
    """-> (n, 1, S, S), true for every key that is a token."""
    n = -(-(int(places[-1]) + 1) // size)
    present = torch.zeros(n * size, dtype=torch.bool).index_fill_(0, places, True)
    return present.view(n, 1, 1, size).expand(n, 1, size, size).contiguous()


def _mask(size: int, tokens: Tensor, places: Tensor, branches: Tensor | None, window: int | None) -> Tensor:
    """-> (n, 1, S, S), true where a token may look."""
    n = -(-(int(places[-1]) + 1) // size)
    mask = torch.ones(n, 1, size, size, dtype=torch.bool).tril_()
    if branches is not None:
        branch = torch.zeros(n * size, dtype=branches.dtype).index_copy_(0, places, branches.cpu()[tokens])
        branch = branch.view(n, 1, size)
        mask &= (branch[:, :, None, :] == 0) | (branch[:, :, None, :] == branch[:, :, :, None])
    if window is not None:
        # Positions: in a branch, the trunk is what stands before, not the branches in between.
        position = mask.sum(-1)  # of a token: as many as it sees
        mask &= position[..., :, None] - position[..., None, :] < window
    return mask
