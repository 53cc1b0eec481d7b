"""Products laid out for few rows: the same numbers, and nothing left behind."""

import pytest
import torch
from torch import nn

from tests.families import tiny
from tunesmith.methods.lora import LoRA
from tunesmith.models import thin as module
from tunesmith.models.thin import _has_kernels, thin

DTYPES = [dtype for dtype in module.DTYPES if _has_kernels(dtype)]


@torch.no_grad()
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 2, 5, 16, 40])
def test_thin_products_are_the_same_products(dtype: torch.dtype, rows: int) -> None:
    for bias in (True, False):
        layer = nn.Linear(96, 160, bias=bias, dtype=dtype)
        x = torch.randn(rows, 96, dtype=dtype)
        expected = layer(x)
        with thin(layer, 16) as switch:
            assert torch.equal(layer(x), expected)
            switch.on = True
            assert torch.allclose(layer(x), expected, rtol=1e-2 if dtype == torch.bfloat16 else 1e-5, atol=1e-5)
        assert torch.equal(layer(x), expected) and "forward" not in vars(layer)


@torch.no_grad()
def test_layers_may_be_put_over_others_meanwhile() -> None:
    network = tiny("llama")
    given = torch.tensor([[5, 6, 7]])
    with thin(network, 4) as switch:
        switch.on = True
        method = LoRA(rank=2)
        method.attach(network)
        inside = network(given).logits
    assert torch.allclose(network(given).logits, inside, atol=1e-4)
    method.detach(network)
    assert not any("forward" in vars(layer) for layer in network.modules())


def test_there_is_none_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARE", 0.0)
    layer = nn.Linear(4, 4)
    with thin(layer, 2):
        assert "forward" not in vars(layer)
