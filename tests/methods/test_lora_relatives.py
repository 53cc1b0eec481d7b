"""What makes DoRA, PiSSA, EVA and LoRA+ what they are."""

import pytest
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from tests.contracts.methods import given
from tests.export.oracle import far, logits, stir
from tests.families import tiny
from tunesmith.core.errors import UserError
from tunesmith.methods.inject import wrapped
from tunesmith.methods.lora import LoRA
from tunesmith.methods.lora_layers import DoRALayer, LoRAEmbedding, LoRALayer, ShiftedLoRALayer
from tunesmith.methods.lora_start import begin_with_weight, strongest


def dora(base: nn.Module) -> DoRALayer:
    made = DoRALayer(base.requires_grad_(False), 3, 6.0, scale=0.7, dropout=0.0).double()
    nn.init.normal_(made.up)
    with torch.no_grad():
        made.magnitude.mul_(torch.rand_like(made.magnitude) + 0.5)
    return made


def paper(made: DoRALayer, x: Tensor) -> Tensor:
    """The formula with every matrix written out; the norm is a constant for the gradient."""
    weight = made.base.weight if isinstance(made.base, nn.Linear) else made.base.weight.T
    turned = weight + made.scale * made.up @ made.down
    length = turned.norm(dim=1).detach()
    bias = made.base.bias if made.base.bias is not None else 0.0
    return x @ ((made.magnitude / length)[:, None] * turned).T + bias


@pytest.mark.parametrize("base", [nn.Linear(5, 4), nn.Linear(5, 4, bias=False), Conv1D(4, 5)], ids=str)
def test_dora_and_its_gradients_equal_the_formula(base: nn.Module) -> None:
    made = dora(base)
    x = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.allclose(made(x), paper(made, x), atol=1e-12)
    slope = torch.randn(2, 3, 4, dtype=torch.float64)
    weights = [x, made.down, made.up, made.magnitude]
    fast, slow = (torch.autograd.grad(f(x), weights, slope) for f in (made, lambda x: paper(made, x)))
    # The lengths are kept in float32: a gradient that is a difference of large numbers shows it.
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(fast, slow, strict=True))


def test_dora_at_half_strength_lies_between_base_and_trained() -> None:
    made = dora(nn.Linear(5, 4)).float()
    x = torch.randn(2, 5)
    whole, base = made(x), made.base(x)
    made.strength = 0.25
    assert torch.allclose(made(x), base + 0.25 * (whole - base), atol=1e-6)
    merged = made.merged()
    assert torch.allclose(merged(x), base + 0.25 * (whole - base), atol=1e-6)


def test_pissa_begins_with_the_strongest_directions_and_changes_nothing() -> None:
    base = nn.Linear(30, 20).requires_grad_(False)
    base.weight.data = torch.randn(20, 8) @ torch.diag(0.5 ** torch.arange(8.0)) @ torch.randn(8, 30)
    made = ShiftedLoRALayer(base, 4, 8.0, scale=2.0, dropout=0.0)
    begin_with_weight(made)
    u, s, v = torch.linalg.svd(base.weight)
    best = u[:, :4] * s[:4] @ v[:4]
    assert far(2.0 * made.up @ made.down, best) < 1e-4
    x = torch.randn(7, 30)
    assert torch.allclose(made(x), base(x), atol=1e-5)
    with torch.no_grad():
        made.down.mul_(0.5)
    assert torch.allclose(made(x), base(x) - 0.5 * x @ best.T, atol=1e-4)
    trained = made(x)
    assert torch.allclose(made.merged()(x), trained, atol=1e-4)


def test_eva_takes_the_directions_in_which_the_inputs_vary() -> None:
    network = tiny("llama")
    LoRA(rank=3, start="eva").attach(network)
    inputs: dict[str, list[Tensor]] = {}
    layers = dict(wrapped(network, LoRALayer))
    hooks = [
        layer.register_forward_pre_hook(lambda _, x, name=name: inputs.setdefault(name, []).append(x[0].flatten(0, -2)))
        for name, layer in layers.items()
    ]
    method = LoRA(rank=3, start="eva")
    method.prepare(network, given(network))
    for hook in hooks:
        hook.remove()
    for name, layer in layers.items():
        seen = torch.cat(inputs[name])
        directions = torch.linalg.svd(seen, full_matrices=False).Vh[:3]
        along = (directions @ layer.down.T).abs()
        assert torch.allclose(along, torch.eye(3), atol=1e-2), name
        assert not layer.up.any()


def test_fewer_inputs_than_ranks_leave_the_rest_at_zero() -> None:
    found = strongest(torch.eye(2), 3)
    assert found.shape == (3, 2)
    assert not found[2].any()


def test_lora_plus_gives_b_a_multiple_of_the_rate() -> None:
    network = tiny("mixtral")
    LoRA(rank=2, up_rate=16).attach(network)
    rates = LoRA(rank=2, up_rate=16).rates(network)
    trained = {name for name, p in network.named_parameters() if p.requires_grad}
    assert set(rates) == {name for name in trained if name.endswith(".up")}
    assert set(rates.values()) == {16.0}
    assert LoRA().rates(network) == {}


def test_an_embedding_is_adapted_only_when_named_and_a_tied_head_stays() -> None:
    network = tiny("llama-tied")
    LoRA(rank=2).attach(network)
    assert not list(wrapped(network, LoRAEmbedding))
    network = tiny("llama-tied")
    method = LoRA(rank=2, targets=("embed_tokens",))
    method.attach(network)
    stir(network)
    before = logits(network)
    method.merge(network)
    assert far(logits(network), before) < 1e-5
    assert network.lm_head.weight is not network.model.embed_tokens.weight
    assert torch.equal(network.lm_head.weight, tiny("llama-tied").lm_head.weight)


def test_dora_over_experts_is_refused_when_they_are_named() -> None:
    with pytest.raises(UserError, match=r"method\.magnitude: not over stacked experts or routers"):
        LoRA(magnitude=True, targets=("experts",)).attach(tiny("mixtral"))


def test_two_changes_of_one_weight_are_refused() -> None:
    with pytest.raises(ValueError, match="choose one of them"):
        LoRA(magnitude=True, start="pissa")


def test_over_another_layer_both_updates_count() -> None:
    base = nn.Linear(6, 5).requires_grad_(False)
    first = LoRALayer(base, 2, 2.0, scale=1.0, dropout=0.0)
    second = LoRALayer(first.base, 2, 2.0, scale=3.0, dropout=0.0)
    for layer in (first, second):
        nn.init.normal_(layer.up)
    second.base = first
    x = torch.randn(3, 6)
    expected = base(x) + x @ (first.up @ first.down).T + 3 * x @ (second.up @ second.down).T
    assert torch.allclose(second(x), expected, atol=1e-5)
    first.strength, second.active = 0.5, False
    assert torch.allclose(second(x), base(x) + 0.5 * x @ (first.up @ first.down).T, atol=1e-5)


def test_a_rank_beyond_a_layer_is_refused() -> None:
    with pytest.raises(UserError, match=r"method\.rank: 400 is larger than the layer model\.embed_tokens"):
        LoRA(rank=400, targets=("embed_tokens",)).attach(tiny("llama"))
