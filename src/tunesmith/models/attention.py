"""Causal attention over packed rows: an example never sees its neighbour, on any device, with nothing installed.

softmax(Q K' / sqrt(D)) V, computed for groups of examples of similar length. Examples stand at the start of their
slot, so the causal rule alone hides the empty end of a slot. The forward pass is torch's flash attention; the backward
pass on a CPU recomputes the probabilities from the saved log-sum-exp with batched products.

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


@dataclass(frozen=True, slots=True)
class Slots:
    """Examples of similar length: where their tokens stand in the row and in a grid of n slots of S tokens."""

    count: int
    size: int
    tokens: Tensor  # (M,), places in the packed row
    places: Tensor  # (M,), places in the flattened (n, S) grid
    mask: Tensor | None  # (n, 1, S, S), what may be seen where the causal rule is not enough

    def gather(self, x: Tensor) -> Tensor:
        """(T, heads, D) -> (n, heads, S, D), zero where a slot is empty."""
        grid = x.new_zeros(self.count * self.size, *x.shape[1:])
        grid.index_copy_(0, self.places, x.index_select(0, self.tokens))
        return grid.view(self.count, self.size, *x.shape[1:]).transpose(1, 2)

    def scatter(self, grid: Tensor, row: Tensor) -> None:
        """(n, heads, S, D) -> its places in the packed (T, heads, D) `row`."""
        flat = grid.transpose(1, 2).reshape(self.count * self.size, *row.shape[1:])
        row.index_copy_(0, self.tokens, flat.index_select(0, self.places))


@dataclass(frozen=True, slots=True)
class Packing:
    """How the examples of one packed row attend; made once a pass and shared by all layers."""

    lengths: tuple[int, ...]
    branches: Tensor | None
    slots: dict[int | None, tuple[Slots, ...]]  # by sliding window; filled when a layer first asks

    @classmethod
    def of(cls, lengths: Sequence[int], branches: Tensor | None = None) -> "Packing":
        return cls(tuple(lengths), branches, {})

    def groups(self, window: int | None, device: torch.device) -> tuple[Slots, ...]:
        if window is not None and window >= max(self.lengths):
            window = None  # never reached
        if window not in self.slots:
            self.slots[window] = _group(self.lengths, self.branches, window, device)
        return self.slots[window]


def attend(q: Tensor, k: Tensor, v: Tensor, packing: Packing, scale: float, window: int | None = None) -> Tensor:
    """(T, H, D), (T, K, D), (T, K, D) -> (T, H, D)."""
    groups = packing.groups(window, q.device)
    if q.device.type == "cpu":
        return PackedAttention.apply(q, k, v, groups, scale)
    return plain_attend(q, k, v, groups, scale)


def plain_attend(q: Tensor, k: Tensor, v: Tensor, groups: Sequence[Slots], scale: float) -> Tensor:
    """The twin of `PackedAttention`, differentiated by torch: what it must equal, and what other devices run."""
    row = torch.zeros_like(q)
    for slots in groups:
        grid = F.scaled_dot_product_attention(
            slots.gather(q), slots.gather(k), slots.gather(v),
            attn_mask=slots.mask, is_causal=slots.mask is None, scale=scale, enable_gqa=True,
        )  # fmt: skip
        flat = grid.transpose(1, 2).reshape(-1, *q.shape[1:])
        row = row.index_copy(0, slots.tokens, flat.index_select(0, slots.places))
    return row


class PackedAttention(torch.autograd.Function):
    """`attend` on a CPU."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, groups: tuple[Slots, ...], scale: float) -> Tensor:
        row = torch.empty_like(q)
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
        ctx.groups, ctx.scale = groups, scale
        return row

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out, *sums = ctx.saved_tensors
        dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        for slots, log_sum in zip(ctx.groups, sums, strict=True):
            parts = _backward(slots, (q, k, v, out, grads[0]), log_sum, ctx.scale)
            for grid, row in zip(parts, (dq, dk, dv), strict=True):
                slots.scatter(grid, row)
        return dq, dk, dv, None, None


def _backward(slots: Slots, tensors: Sequence[Tensor], log_sum: Tensor, scale: float) -> tuple[Tensor, ...]:
    """The gradient of softmax(Q K') V by FlashAttention's formulas (https://arxiv.org/abs/2205.14135), B.4."""
    q, k, v, out, dout = (slots.gather(x) for x in tensors)
    n, kv, s, d = k.shape
    grouped = n * kv, q.shape[1] // kv * s, d  # the G query heads of a key head side by side
    q, out, dout = (x.reshape(grouped) for x in (q, out, dout))
    k, v = k.reshape(n * kv, s, d), v.reshape(n * kv, s, d)

    p = _product(q, k.transpose(1, 2)).mul_(scale).sub_(log_sum.reshape(n * kv, -1, 1)).exp_()
    seen = p.view(n, -1, s, s)
    seen.mul_(slots.mask) if slots.mask is not None else seen.tril_()
    delta = (dout.float() * out.float()).sum(-1, keepdim=True)
    ds = _product(dout, v.transpose(1, 2)).sub_(delta).mul_(p).mul_(scale).to(q.dtype)
    dv = torch.bmm(p.to(q.dtype).transpose(1, 2), dout)
    dq = torch.bmm(ds, k).view(n, -1, s, d)
    dk = torch.bmm(ds.transpose(1, 2), q)
    return dq, dk.view(n, kv, s, d), dv.view(n, kv, s, d)


def _product(a: Tensor, b: Tensor) -> Tensor:
    return torch.bmm(a, b).float()


def _additive(mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return None if mask is None else torch.zeros_like(mask, dtype=dtype).masked_fill_(~mask, float("-inf"))


def _group(
    lengths: Sequence[int], branches: Tensor | None, window: int | None, device: torch.device
) -> tuple[Slots, ...]:
    by_size: dict[tuple[int, bool], list[tuple[int, int]]] = defaultdict(list)
    start = 0
    for length in lengths:
        tree = branches is not None and bool(branches[start : start + length].any())
        masked = tree or (window is not None and length > window)
        by_size[-(-length // STEP) * STEP, masked].append((start, length))
        start += length
    return tuple(
        _slots(size, examples, branches, window, device) if masked else _slots(size, examples, None, None, device)
        for (size, masked), examples in sorted(by_size.items())
    )


def _slots(
    size: int, examples: list[tuple[int, int]], branches: Tensor | None, window: int | None, device: torch.device
) -> Slots:
    tokens = torch.cat([torch.arange(start, start + length) for start, length in examples])
    places = torch.cat([torch.arange(i * size, i * size + length) for i, (_, length) in enumerate(examples)])
    mask = None
    if branches is not None or window is not None:
        mask = torch.ones(len(examples), 1, size, size, dtype=torch.bool).tril_()
        if branches is not None:
            own = torch.zeros(len(examples) * size, dtype=branches.dtype)
            own[places] = branches.cpu()[tokens]
            own = own.view(len(examples), 1, size)
            mask &= (own[:, :, None, :] == 0) | (own[:, :, None, :] == own[:, :, :, None])
        if window is not None:
            # Positions: in a branch, the trunk is what stands before, not the branches in between.
            position = mask.sum(-1)  # of a token: as many as it sees
            mask &= position[..., :, None] - position[..., None, :] < window
        mask = mask.to(device)
    return Slots(len(examples), size, tokens.to(device), places.to(device), mask)
