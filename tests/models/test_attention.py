"""Attention over packed rows equals softmax(QK')V of each example alone, whatever the packing."""

import math
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.models.closeness import apart, gradients
from tunesmith.models import attention
from tunesmith.models.attention import STEP, Packing, attend, plain_attend

EXACT = 1e-5
WIDTH = 8
CPU = torch.device("cpu")
Sizes = tuple[int, int]


def _alone(q: Tensor, k: Tensor, v: Tensor, seen: Tensor, scale: float) -> Tensor:
    """(T, H, D), (T, K, D) twice, (T, T) -> (T, H, D), as one writes it on a blackboard."""
    group = q.shape[1] // k.shape[1]
    keys, values = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    scores = torch.einsum("ihd,jhd->hij", q, keys) * scale
    p = scores.masked_fill(~seen, -math.inf).softmax(-1)
    return torch.einsum("hij,jhd->ihd", p, values)


def _positions(branches: list[int]) -> list[int]:
    trunk = branches.count(0)
    return [i if b == 0 else trunk + branches[:i].count(b) for i, b in enumerate(branches)]


def _seen(lengths: list[int], window: int | None, branches: list[int] | None = None) -> Tensor:
    """Token by token: the same example, not later, the same branch or the trunk, near enough."""
    total = sum(lengths)
    seen = torch.zeros(total, total, dtype=torch.bool)
    start = 0
    for length in lengths:
        own = branches[start : start + length] if branches else [0] * length
        places = _positions(own)
        for i in range(length):
            for j in range(i + 1):
                near = window is None or places[i] - places[j] < window
                seen[start + i, start + j] = near and own[j] in (0, own[i])
        start += length
    return seen


def _inputs(total: int, heads: Sizes, seed: int) -> list[Tensor]:
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(total, h, WIDTH, generator=g) for h in (heads[0], heads[1], heads[1])]


def _check(lengths: list[int], heads: Sizes, window: int | None, branches: list[int] | None, seed: int) -> None:
    inputs = _inputs(sum(lengths), heads, seed)
    tree = None if branches is None else torch.tensor(branches)
    packing = Packing.of(lengths, tree)
    groups = packing.groups(window, CPU)
    seen = _seen(lengths, window, branches)
    expected = gradients(lambda q, k, v: _alone(q, k, v, seen, 0.3), inputs)
    for block in (attention.BLOCK, 32):  # in one piece, and in several
        with patch.object(attention, "BLOCK", block):
            ours = gradients(lambda q, k, v: attend(q, k, v, packing, 0.3, window), inputs)
        assert apart(ours, expected) < EXACT, block
    assert apart(gradients(lambda q, k, v: plain_attend(q, k, v, groups, 0.3), inputs), expected) < EXACT


lengths_of_rows = st.lists(st.integers(1, 2 * STEP + 3), min_size=1, max_size=5)
heads_of_layers = st.sampled_from([(1, 1), (2, 2), (4, 2), (6, 2), (3, 1)])


@settings(max_examples=25, deadline=None)
@given(lengths_of_rows, heads_of_layers, st.none() | st.integers(1, STEP + 5), st.integers(0, 99))
def test_equals_attention_of_each_example_alone(
    lengths: list[int], heads: Sizes, window: int | None, seed: int
) -> None:
    _check(lengths, heads, window, None, seed)


@st.composite
def _trees(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    lengths, branches = [], []
    for _ in range(draw(st.integers(1, 3))):
        trunk = draw(st.integers(1, 12))
        tails = draw(st.lists(st.integers(1, 12), max_size=3))
        own = [0] * trunk + [k for k, n in enumerate(tails, 1) for _ in range(n)]
        lengths.append(len(own))
        branches += own
    return lengths, branches


@settings(max_examples=25, deadline=None)
@given(_trees(), heads_of_layers, st.none() | st.integers(1, 20), st.integers(0, 99))
def test_a_branch_sees_the_trunk_and_itself(
    tree: tuple[list[int], list[int]], heads: Sizes, window: int | None, seed: int
) -> None:
    _check(tree[0], heads, window, tree[1], seed)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 2 * STEP), min_size=2, max_size=5), st.data())
def test_a_neighbour_changes_nothing(lengths: list[int], data: st.DataObject) -> None:
    """Not by rounding either: an example's numbers are the same bits whatever its neighbours hold."""
    changed = data.draw(st.integers(0, len(lengths) - 1))
    start = sum(lengths[:changed])
    part = slice(start, start + lengths[changed])
    inputs = _inputs(sum(lengths), (4, 2), 0)
    others = [x.clone() for x in inputs]
    for x in others:
        x[part] = 100 * torch.randn_like(x[part])
    packing = Packing.of(lengths)
    kept = torch.ones(sum(lengths), dtype=torch.bool)
    kept[part] = False
    for a, b in zip(
        gradients(lambda q, k, v: attend(q, k, v, packing, 0.3), inputs),
        gradients(lambda q, k, v: attend(q, k, v, packing, 0.3), others),
        strict=True,
    ):
        assert torch.equal(a[kept], b[kept])


@pytest.mark.parametrize("lengths", [[40, 7, 70], [64]])
def test_in_bfloat16_only_rounding_differs(lengths: list[int]) -> None:
    """Probabilities and their gradient are rounded once each, so that an error of a few 2**-9 is left."""
    inputs = [x.bfloat16() for x in _inputs(sum(lengths), (4, 2), 0)]
    packing = Packing.of(lengths)
    groups = packing.groups(None, CPU)
    exact = gradients(lambda q, k, v: plain_attend(q, k, v, groups, 0.3), [x.float() for x in inputs])
    assert apart(gradients(lambda q, k, v: attend(q, k, v, packing, 0.3), inputs), exact) < 4 / 2**9


@pytest.mark.parametrize("window", [None, 3])
def test_large_scores_do_not_overflow_where_nothing_is_seen(window: int | None) -> None:
    """What is hidden may score far higher than all that is seen; no infinity of it is multiplied by zero."""
    packing = Packing.of([9, 5])
    inputs = _inputs(14, (2, 1), 0)
    inputs[1] *= torch.linspace(1, 500, 14)[:, None, None]
    assert all(
        bool(x.isfinite().all()) for x in gradients(lambda q, k, v: attend(q, k, v, packing, 1.0, window), inputs)
    )


def test_a_window_that_no_example_reaches_shares_the_plain_slots() -> None:
    packing = Packing.of([5, 9])
    assert packing.groups(9, CPU) is packing.groups(None, CPU)
    assert packing.groups(8, CPU) is not packing.groups(None, CPU)


@settings(max_examples=15, deadline=None)
@given(lengths_of_rows, heads_of_layers, st.integers(0, 99))
def test_both_ways_each_token_sees_all_of_its_example_and_nothing_else(
    lengths: list[int], heads: Sizes, seed: int
) -> None:
    inputs = _inputs(sum(lengths), heads, seed)
    owner = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    seen = owner[:, None] == owner[None]
    packing = Packing.both_ways(lengths)
    expected = gradients(lambda q, k, v: _alone(q, k, v, seen, 0.3), inputs)
    for block in (attention.BLOCK, 32):
        with patch.object(attention, "BLOCK", block):
            assert apart(gradients(lambda q, k, v: attend(q, k, v, packing, 0.3), inputs), expected) < EXACT
    groups = packing.groups(None, CPU)
    assert apart(gradients(lambda q, k, v: plain_attend(q, k, v, groups, 0.3), inputs), expected) < EXACT
