"""LoHa and LoKr: the fast ways against the dense product, sizes of factors, ranks and what is refused."""

from typing import Any

import pytest
import torch
from peft.tuners.lokr.layer import factorization
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from tests.export.oracle import far, logits, stir
from tests.families import tiny
from tests.methods.packed_layer import Packed
from tunesmith.core.errors import UserError
from tunesmith.core.layers import sizes
from tunesmith.methods.inject import wrapped
from tunesmith.methods.loha import LoHa, LoHaLayer
from tunesmith.methods.lokr import LoKr, LoKrLayer, split
from tunesmith.methods.lora import LoRA
from tunesmith.methods.lycoris import ProductLayer

BASES = {"linear": lambda: nn.Linear(24, 18), "no bias": lambda: nn.Linear(24, 18, bias=False)}
BASES |= {"transposed": lambda: Conv1D(18, 24)}
WAYS: dict[str, Any] = {
    "loha, narrow": lambda base: LoHaLayer(base, 3, 4.0),
    "loha, dense": lambda base: LoHaLayer(base, 4, 4.0),
    "lokr, w2 of two": lambda base: LoKrLayer(base, 2, 3.0, factor=None, both=False),
    "lokr, w2 whole": lambda base: LoKrLayer(base, 3, 3.0, factor=None, both=False),
    "lokr, all of two": lambda base: LoKrLayer(base, 1, 3.0, factor=None, both=True),
    "lokr, a factor of 2": lambda base: LoKrLayer(base, 2, 3.0, factor=2, both=False),
}


def stirred(way: str, base: nn.Module) -> ProductLayer:
    made: ProductLayer = WAYS[way](base.requires_grad_(False)).double()
    for parameter in made.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter)
    made.strength = 0.6
    return made


def plain(made: ProductLayer, x: Tensor) -> Tensor:
    return made.base(x) + 0.6 * made.alpha / made.rank * x @ made.product().T


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("base", BASES)
def test_the_fast_way_and_its_gradients_equal_the_dense_product(base: str, way: str) -> None:
    made = stirred(way, BASES[base]())
    x = torch.randn(2, 3, 24, dtype=torch.float64, requires_grad=True)
    trained = [x, *(p for p in made.parameters() if p.requires_grad)]
    assert torch.allclose(made(x), plain(made, x), atol=1e-11)
    slope = torch.randn(2, 3, 18, dtype=torch.float64)
    fast, slow = (torch.autograd.grad(f(x), trained, slope) for f in (made, lambda x: plain(made, x)))
    assert all(torch.allclose(a, b, atol=1e-10) for a, b in zip(fast, slow, strict=True))


def test_the_ways_are_what_their_names_say() -> None:
    made = {way: WAYS[way](nn.Linear(24, 18)) for way in WAYS}
    assert made["loha, narrow"].narrow
    assert not made["loha, dense"].narrow
    names = {way: set(layer.tensors()) for way, layer in made.items()}
    assert names["lokr, w2 of two"] == {"lokr_w1", "lokr_w2_a", "lokr_w2_b"}
    assert names["lokr, w2 whole"] == {"lokr_w1", "lokr_w2"}
    assert names["lokr, all of two"] == {"lokr_w1_a", "lokr_w1_b", "lokr_w2_a", "lokr_w2_b"}
    assert made["lokr, a factor of 2"].lokr_w1.shape == (2, 2)


@pytest.mark.parametrize("way", ["loha, narrow", "lokr, w2 of two"])
def test_no_matrix_of_the_size_of_the_layer_is_made(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = stirred(way, nn.Linear(24, 18))
    monkeypatch.setattr(type(made), "product", lambda self: pytest.fail("the product was made whole"))
    made(torch.randn(5, 24, dtype=torch.float64)).sum().backward()


@pytest.mark.parametrize("way", WAYS)
def test_over_another_layer_it_adds_the_same(way: str) -> None:
    alone = stirred(way, nn.Linear(24, 18))
    x = torch.randn(5, 24, dtype=torch.float64)
    below = nn.Sequential(alone.base)
    above = stirred(way, nn.Linear(24, 18))
    above.load_state_dict(alone.state_dict())
    above.base = below
    assert torch.allclose(above(x), plain(alone, x), atol=1e-11)


def test_factors_are_split_as_in_peft() -> None:
    for size in range(1, 400):
        for factor in (None, 1, 2, 3, 4, 7, 16, 50):
            assert split(size, factor) == factorization(size, -1 if factor is None else factor), (size, factor)


@pytest.mark.parametrize("kind", [LoHa, LoKr])
def test_ranks_and_alphas_by_pattern(kind: Any) -> None:
    network = tiny("llama")
    method = kind(rank=2, alpha=6, ranks={"layers.0.mlp.*": 3}, alphas={"v_proj": 1.5})
    method.attach(network)
    layers = dict(wrapped(network, ProductLayer))
    first = "model.layers.0"
    assert layers[f"{first}.self_attn.q_proj"].factor == 6 / 2
    assert layers[f"{first}.mlp.up_proj"].factor == 6 / 3
    assert layers[f"{first}.self_attn.v_proj"].factor == 1.5 / 2
    assert "lm_head" not in layers
    assert len(layers) == 14


@pytest.mark.parametrize("kind", [LoHa, LoKr])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rank": 49}, "49 is larger than the layer model.layers.0.self_attn.q_proj"),
        ({"rank": 60, "targets": ("down_proj", "q_proj")}, "60 is larger than the layer"),
        ({"ranks": {"q_porj": 2}}, r"method\.ranks: `q_porj` matches none of the targets; did you mean `q_proj`"),
        ({"alphas": {"q_porj": 2}}, r"method\.alphas: `q_porj` matches none of the targets"),
        ({"targets": ("embed_tokens",)}, "which is a Embedding and no layer that can be adapted"),
    ],
)
def test_what_cannot_be_attached_is_refused_and_changes_nothing(kind: Any, values: Any, message: str) -> None:
    network = tiny("llama")
    before = [type(m) for m in network.modules()]
    with pytest.raises(UserError, match=message):
        kind(**values).attach(network)
    assert [type(m) for m in network.modules()] == before
    assert all(p.requires_grad for p in network.parameters())


@pytest.mark.parametrize("kind", [LoHa, LoKr])
def test_over_a_quantized_layer_it_trains_but_does_not_merge(kind: Any) -> None:
    network = tiny("llama")
    network.model.layers[1].mlp.down_proj = Packed(network.model.layers[1].mlp.down_proj)
    before = logits(network)
    method = kind()
    method.attach(network)
    assert torch.equal(logits(network), before)
    stir(network)
    assert far(logits(network), before) > 1e-2
    with pytest.raises(UserError, match=r"down_proj is quantized \(Packed\)"):
        method.merge(network)


@pytest.mark.parametrize(("kind", "least", "most"), [(LoHa, 1.5, 2.5), (LoKr, 2.5, 4.5)])
def test_how_far_a_step_moves_the_weights_beside_one_of_lora(kind: Any, least: float, most: float) -> None:
    """By the default start, strength and rate: another value of one of them asks for another of the rest."""

    def moved(method: Any) -> float:
        torch.manual_seed(0)
        network = nn.ModuleDict({"q_proj": nn.Linear(576, 576, bias=False)})
        method.attach(network)
        layer: Any = network["q_proj"]
        inputs, _ = sizes(layer.base)
        before = layer.base.weight.clone()
        x = torch.randn(64, inputs)
        optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=method.learning_rate)
        layer(x).square().sum().backward()
        optimizer.step()
        return float((layer.merged().weight - before).norm())

    own, lora = moved(kind(targets=("q_proj",))), moved(LoRA(targets=("q_proj",)))
    assert least < own / lora < most
