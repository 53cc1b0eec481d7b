"""Bottleneck adapters: the formula against a forward pass written here, places in each family, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb, repeat_kv

from tests.export.oracle import ROW, far, logits, ours, read_by_us, stir
from tests.families import FAMILIES, tiny
from tests.methods.packed_layer import Packed
from tunesmith.core.errors import UserError
from tunesmith.methods.activity import base_only
from tunesmith.methods.bottleneck import ACTIVATIONS, Bottleneck, BottleneckLayer
from tunesmith.methods.inject import wrapped
from tunesmith.methods.stored import load_stored

PLACES = ("pfeiffer", "houlsby", "parallel")
MIXTURES = ("mixtral", "qwen3_moe")


def _norm(x: Tensor, weight: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weight


def _attention(layer: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    own, heads = layer.self_attn, (1, x.shape[1], -1, 12)
    q, k, v = (p(x).view(heads).transpose(1, 2) for p in (own.q_proj, own.k_proj, own.v_proj))
    q, k = apply_rotary_pos_emb(q, k, cos, sin)
    mixed = F.scaled_dot_product_attention(q, repeat_kv(k, 2), repeat_kv(v, 2), is_causal=True)
    return own.o_proj(mixed.transpose(1, 2).reshape(x.shape))


@torch.no_grad()
def independent(file: dict[str, Tensor], place: str, scale: float, activation: Any) -> Tensor:
    """The tiny Llama with the adapters of a file, every formula written out."""
    network = tiny("llama").model
    x = network.embed_tokens(ROW)
    cos, sin = network.rotary_emb(x, torch.arange(ROW.shape[1])[None])

    def small(read: Tensor, name: str) -> Tensor:
        down, up = (f"base_model.model.model.{name}.adapter_{part}" for part in ("down", "up"))
        inner = activation(read @ file[f"{down}.weight"].T + file[f"{down}.bias"])
        return scale * (inner @ file[f"{up}.weight"].T + file[f"{up}.bias"])

    for i, layer in enumerate(network.layers):
        y = _attention(layer, _norm(x, layer.input_layernorm.weight), cos, sin)
        x = x + (y + small(y, f"layers.{i}.self_attn.o_proj") if place == "houlsby" else y)
        read = _norm(x, layer.post_attention_layernorm.weight)
        y = layer.mlp.down_proj(F.silu(layer.mlp.gate_proj(read)) * layer.mlp.up_proj(read))
        x = x + y + (small(read, f"layers.{i}.mlp") if place == "parallel" else small(y, f"layers.{i}.mlp.down_proj"))
    return (_norm(x, network.norm.weight) @ tiny("llama").lm_head.weight.T)[0]


@pytest.mark.parametrize(
    ("place", "values", "scale"),
    [
        ("pfeiffer", {}, 1.0),
        ("houlsby", {"activation": "gelu", "scale": 0.5}, 0.5),
        ("parallel", {"activation": "silu", "reduction": 4}, 4.0),
        ("parallel", {"scale": 1.5}, 1.5),
    ],
)
def test_the_file_means_what_an_independent_forward_pass_makes_of_it(
    place: str, values: dict[str, Any], scale: float, tmp_path: Path
) -> None:
    network, folder = ours("llama", tmp_path / "a", Bottleneck(place=place, **values))
    file = load_file(folder / "adapter_model.safetensors")
    expected = independent(file, place, scale, ACTIVATIONS[values.get("activation", "relu")])
    assert far(expected, logits(tiny("llama"))) > 1e-2
    assert far(logits(network), expected) < 1e-5
    assert torch.equal(logits(read_by_us("llama", folder)), logits(network))


ENDS = {"gpt2": ("attn.c_proj", "mlp.c_proj"), "gpt_neox": ("attention.dense", "mlp.dense_4h_to_h")}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("family", FAMILIES)
def test_each_place_is_found_and_comes_back_from_a_file(family: str, place: str, tmp_path: Path) -> None:
    network, folder = ours(family, tmp_path / "a", Bottleneck(place=place))
    names = [name for name, _ in wrapped(network, BottleneckLayer)]
    attention, feed_forward = ENDS.get(family, ("self_attn.o_proj", "mlp.down_proj"))
    behind = "mlp" if family in MIXTURES else feed_forward
    expected = {"pfeiffer": {behind}, "houlsby": {attention, behind}, "parallel": {"mlp"}}[place]
    assert {next(end for end in expected if name.endswith(end)) for name in names} == expected
    assert len(names) == len(expected) * network.config.num_hidden_layers
    assert torch.equal(logits(read_by_us(family, folder)), logits(network))
    with base_only(network):
        assert torch.equal(logits(network), logits(tiny(family)))


@pytest.mark.parametrize("place", PLACES)
def test_strength_scales_what_is_added(place: str) -> None:
    network, method = tiny("llama"), Bottleneck(place=place, targets=("layers.1.mlp.down_proj",))
    method.attach(network)
    stir(network)
    (_, layer), *_ = wrapped(network, BottleneckLayer)
    x = torch.randn(5, 80)
    base = layer.base(x)
    whole = layer(x) - base
    layer.strength = 0.25
    assert far(layer(x) - base, 0.25 * whole) < 1e-5
    layer.strength = 0.0
    assert torch.equal(layer(x), base)


def test_targets_choose_other_places() -> None:
    network = tiny("qwen3")
    Bottleneck(targets=("layers.0.self_attn.v_proj", "layers.1.mlp")).attach(network)
    assert [n for n, _ in wrapped(network, BottleneckLayer)] == [
        "model.layers.0.self_attn.v_proj",
        "model.layers.1.mlp",
    ]
    assert network.model.layers[0].self_attn.v_proj.adapter_down.weight.shape == (2, 32)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (
            Bottleneck(targets=("down_porj",)),
            r"method\.targets: `down_porj` matches no layer; did you mean `down_proj`",
        ),
        (Bottleneck(targets=("mlp", "down_proj")), r"mlp\.down_proj lies inside of another target"),
        (Bottleneck(reduction=49), r"method\.reduction: 49 is more than the width 48 of model\.layers\.0\.mlp"),
        (Bottleneck(targets=("norm",)), "matches model.norm, which is a LlamaRMSNorm and no layer"),
    ],
)
def test_what_cannot_be_attached_is_refused_and_changes_nothing(method: Bottleneck, message: str) -> None:
    network = tiny("llama")
    before = [type(m) for m in network.modules()]
    with pytest.raises(UserError, match=message):
        method.attach(network)
    assert [type(m) for m in network.modules()] == before
    assert all(p.requires_grad for p in network.parameters())


def test_a_base_of_unknown_names_is_told_to_name_its_targets() -> None:
    with pytest.raises(UserError, match=r"method\.place: no feed-forward part is known .*name `targets`"):
        Bottleneck().attach(nn.ModuleDict({"first": nn.Linear(4, 4)}))


def test_it_cannot_be_merged_and_says_why() -> None:
    network, method = tiny("llama"), Bottleneck()
    sentence = method.cannot_merge(network)
    assert sentence is not None
    method.attach(network)
    stir(network)
    before = logits(network)
    with pytest.raises(UserError, match=f"merge: {sentence}"):
        method.merge(network)
    assert torch.equal(logits(network), before)


def test_tensors_of_another_width_are_refused() -> None:
    network, other = tiny("llama"), tiny("llama")
    wide, narrow = Bottleneck(reduction=4), Bottleneck(reduction=8)
    wide.attach(network)
    narrow.attach(other)
    with pytest.raises(UserError, match=r"adapter_down\.weight has shape \(12, 48\)"):
        load_stored(narrow, other, wide.stored(network))


def test_it_stands_behind_a_quantized_layer() -> None:
    network = tiny("llama")
    network.model.layers[1].mlp.down_proj = Packed(network.model.layers[1].mlp.down_proj)
    before = logits(network)
    Bottleneck().attach(network)
    assert torch.equal(logits(network), before)
    stir(network)
    network(input_ids=ROW).logits.square().sum().backward()
    assert network.model.layers[1].mlp.down_proj.adapter_up.weight.grad.any()
