"""IA3: the product against its plain twin, what is scaled in each family, and small changes in half precision."""

import pytest
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from tests.export.oracle import far, logits, stir
from tests.families import FAMILIES, tiny
from tests.methods.packed_layer import Packed
from tunesmith.core.errors import UserError
from tunesmith.methods.ia3 import IA3, IA3Layer
from tunesmith.methods.inject import wrapped

BASES = [nn.Linear(5, 4), nn.Linear(5, 4, bias=False), Conv1D(4, 5)]


def plain(made: IA3Layer, x: Tensor) -> Tensor:
    scale = 1 + made.strength * (made.scale.flatten() - 1)
    return made.base(x * scale) if made.inner else made.base(x) * scale


@pytest.mark.parametrize("inner", [False, True])
@pytest.mark.parametrize("base", BASES, ids=str)
def test_the_product_and_its_gradients_equal_the_plain_twin(base: nn.Module, inner: bool) -> None:
    made = IA3Layer(base.requires_grad_(False), inner=inner).double()
    nn.init.normal_(made.scale)
    made.strength = 0.7
    x = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.allclose(made(x), plain(made, x), atol=1e-12)
    slope = torch.randn(2, 3, 4, dtype=torch.float64)
    fast, slow = (torch.autograd.grad(f(x), [x, made.scale], slope) for f in (made, lambda x: plain(made, x)))
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(fast, slow, strict=True))


def test_a_change_that_half_precision_cannot_add_to_one_still_acts() -> None:
    made = IA3Layer(nn.Linear(64, 64, bias=False).to(torch.bfloat16), inner=False)
    with torch.no_grad():
        made.scale.fill_(1.003)
        assert made.scale.to(torch.bfloat16).eq(1).all(), "rounded first, it would be the base"
        x = torch.randn(200, 64).to(torch.bfloat16)
        y, base = made(x).double(), made.base(x).double()
    assert 0.002 < float(y.abs().sum() / base.abs().sum()) - 1 < 0.004


@pytest.mark.parametrize("strength", [0.0, 0.25, 1.0])
def test_strength_goes_from_the_base_to_what_was_trained(strength: float) -> None:
    network = tiny("qwen2")
    before = logits(network)
    method = IA3()
    method.attach(network)
    stir(network)
    trained = logits(network)
    for _, layer in wrapped(network, IA3Layer):
        layer.strength = strength
    now = logits(network)
    assert torch.equal(now, before) == (strength == 0)
    assert torch.equal(now, trained) == (strength == 1)
    method.merge(network)
    assert far(logits(network), now) < 1e-5


INNER = {"gpt2": {"mlp.c_proj"}, "gpt_neox": {"mlp.dense_4h_to_h"}, "mixtral": set[str](), "qwen3_moe": set[str]()}
OUTER = {"gpt2": {"attn.c_attn"}, "gpt_neox": {"attention.query_key_value"}}


@pytest.mark.parametrize("family", FAMILIES)
def test_keys_values_and_the_last_layer_of_each_feed_forward_part_are_found(family: str) -> None:
    network = tiny(family)
    IA3().attach(network)
    layers = dict(wrapped(network, IA3Layer))
    found = {".".join(name.split(".")[-2:]): layer.inner for name, layer in layers.items()}
    inner = INNER.get(family, {"mlp.down_proj"})
    outer = OUTER.get(family, {"self_attn.k_proj", "self_attn.v_proj"})
    assert found == dict.fromkeys(outer, False) | dict.fromkeys(inner, True)
    assert len(layers) == len(found) * network.config.num_hidden_layers


def test_targets_and_feedforward_choose() -> None:
    network = tiny("llama")
    IA3(targets=("q_proj", "up_proj"), feedforward=("layers.0.mlp.up_proj",)).attach(network)
    layers = dict(wrapped(network, IA3Layer))
    assert sorted(n for n, layer in layers.items() if layer.inner) == ["model.layers.0.mlp.up_proj"]
    assert len(layers) == 4


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (
            IA3(feedforward=("dwon_proj",)),
            r"method\.feedforward: `dwon_proj` matches no layer; did you mean `down_proj`",
        ),
        (IA3(targets=("embed_tokens",)), "matches model.embed_tokens, which is a Embedding and no layer"),
        (IA3(targets=(), feedforward=()), r"method\.targets: .*choose of q_proj"),
    ],
)
def test_what_cannot_be_attached_is_refused_and_changes_nothing(method: IA3, message: str) -> None:
    network = tiny("llama")
    before = [type(m) for m in network.modules()]
    with pytest.raises(UserError, match=message):
        method.attach(network)
    assert [type(m) for m in network.modules()] == before
    assert all(p.requires_grad for p in network.parameters())


def test_over_a_quantized_layer_it_trains_but_does_not_merge() -> None:
    network = tiny("llama")
    network.model.layers[1].self_attn.k_proj = Packed(network.model.layers[1].self_attn.k_proj)
    before = logits(network)
    method = IA3()
    method.attach(network)
    assert torch.equal(logits(network), before)
    network(input_ids=torch.arange(9)[None]).logits.square().sum().backward()
    assert network.model.layers[1].self_attn.k_proj.scale.grad.any()
    with pytest.raises(UserError, match=r"k_proj is quantized \(Packed\)"):
        method.merge(network)
    assert network.model.layers[0].self_attn.k_proj.active, "all or nothing"
