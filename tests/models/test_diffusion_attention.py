"""Attention of a U-Net equals torch's: forwards to the bit, and its gradient as far as half precision goes."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.painters import tiny_unet
from tunesmith.models.diffusion import attention
from tunesmith.models.diffusion.attention import QuickLook, WholeAttention


def drawn(shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype).requires_grad_()


@settings(max_examples=20)
@given(
    st.integers(1, 40), st.integers(1, 40), st.sampled_from([8, 24]), st.sampled_from([torch.float32, torch.bfloat16])
)
def test_gradients_are_those_of_torch(queries: int, keys: int, width: int, dtype: torch.dtype) -> None:
    q, k, v = (drawn((2, 3, n, width), dtype, seed) for seed, n in enumerate((queries, keys, keys)))
    wanted = F.scaled_dot_product_attention(*(x.float() for x in (q, k, v)))
    found = WholeAttention.apply(q, k, v)
    dout = drawn(tuple(wanted.shape), torch.float32, 3).detach()
    exact = torch.autograd.grad(wanted, (q, k, v), dout)
    ours = torch.autograd.grad(found, (q, k, v), dout.to(dtype))
    close = 1e-5 if dtype == torch.float32 else 3e-2
    for one, other in zip(ours, exact, strict=True):
        # Where a query sees one key alone its gradient is zero, as the difference of two rounded numbers.
        assert (one.float() - other.float()).norm() <= close * (other.float().norm() + dout.norm())


def test_blocks_of_queries_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = (drawn((1, 2, 30, 8), torch.float32, seed) for seed in range(3))
    whole = torch.autograd.grad(WholeAttention.apply(q, k, v).square().sum(), (q, k, v))
    monkeypatch.setattr(attention, "BLOCK", 7)
    cut = torch.autograd.grad(WholeAttention.apply(q, k, v).square().sum(), (q, k, v))
    for one, other in zip(cut, whole, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_a_network_answers_to_the_bit_as_before_and_learns_the_same() -> None:
    torch.manual_seed(0)
    network = tiny_unet(16).bfloat16()
    noisy, told = torch.randn(2, 4, 8, 8).bfloat16(), torch.randn(2, 5, 16).bfloat16().requires_grad_()
    found = []
    for quick in (False, True):
        if quick:
            network.set_attn_processor(QuickLook())
        said = network(noisy, torch.tensor([3, 700]), told, return_dict=False)[0]
        found.append((said.detach(), *torch.autograd.grad(said.float().square().sum(), told)))
    assert torch.equal(found[0][0], found[1][0])
    assert (found[0][1] - found[1][1]).float().norm() < 3e-2 * found[0][1].float().norm()
