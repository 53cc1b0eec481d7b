"""Each small formula equals its plain twin, forwards and backwards."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.models.closeness import apart, gradients
from tunesmith.models.blocks import gated, plain_gated, plain_rms_norm, plain_rotate, rms_norm, rotate

EXACT = 1e-5


def _rotation(tokens: int, width: int) -> tuple[Tensor, Tensor]:
    angles = torch.arange(tokens)[:, None] * 0.7 ** torch.arange(width // 2)
    angles = torch.cat([angles, angles], -1)  # as transformers lays them out
    return angles.cos(), angles.sin()


COS, SIN = _rotation(11, 8)
CASES: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor], tuple[tuple[int, ...], ...]]] = {
    "norm": (lambda x, w: rms_norm(x, w, 1e-5), lambda x, w: plain_rms_norm(x, w, 1e-5), ((11, 24), (24,))),
    "norm of heads": (lambda x, w: rms_norm(x, w, 1e-6), lambda x, w: plain_rms_norm(x, w, 1e-6), ((11, 3, 8), (8,))),
    "gate": (gated, plain_gated, ((11, 24), (11, 24))),
    "rotation": (lambda x: rotate(x, COS, SIN), lambda x: plain_rotate(x, COS, SIN), ((11, 3, 8),)),
}


@pytest.mark.parametrize("name", CASES)
def test_equals_its_twin(name: str) -> None:
    fast, plain, shapes = CASES[name]
    torch.manual_seed(0)
    inputs = [3 * torch.randn(shape) for shape in shapes]
    ours, theirs = gradients(fast, inputs), gradients(plain, inputs)
    assert len(ours) == 1 + len(shapes)
    assert apart(ours, theirs) < EXACT


@pytest.mark.parametrize("name", CASES)
def test_is_no_worse_than_its_twin_in_bfloat16(name: str) -> None:
    fast, plain, shapes = CASES[name]
    torch.manual_seed(0)
    inputs = [torch.randn(shape).bfloat16() for shape in shapes]
    exact = gradients(plain, [x.float() for x in inputs])
    assert apart(gradients(fast, inputs), exact) < 1.2 * apart(gradients(plain, inputs), exact) + 1e-4


def test_a_frozen_weight_of_a_norm_gets_no_gradient() -> None:
    weight = torch.ones(8)
    x = torch.randn(3, 8, requires_grad=True)
    rms_norm(x, weight, 1e-5).sum().backward()
    assert weight.grad is None
    assert x.grad is not None
