"""BitFit: which biases there are, what is added where there are none, and which families can hold the result."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.export.oracle import far, logits, ours, read_by_us, stir
from tests.families import FAMILIES, tiny
from tests.methods.packed_layer import Packed
from tunesmith.core.errors import UserError
from tunesmith.methods.bitfit import BiasLayer, BitFit
from tunesmith.methods.inject import wrapped

BIASED = {
    "gpt2": {"ln_1", "c_attn", "c_proj", "ln_2", "c_fc", "ln_f"},
    "gpt_neox": {
        "input_layernorm", "post_attention_layernorm", "query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h",
        "final_layer_norm",
    },
    "qwen2": {"q_proj", "k_proj", "v_proj"},
}  # fmt: skip
DENSE = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj"}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_biases_of_the_base_train_or_new_ones_behind_every_linear_layer(family: str) -> None:
    network = tiny(family)
    BitFit().attach(network)
    found = {name.rpartition(".")[2] for name, _ in wrapped(network, BiasLayer)}
    assert found == BIASED.get(family, ATTENTION if "mix" in family or "moe" in family else DENSE)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_file_says_what_is_added_to_each_bias(family: str, tmp_path: Path) -> None:
    network, folder = ours(family, tmp_path / "a", BitFit())
    assert torch.equal(logits(read_by_us(family, folder)), logits(network))
    plain = tiny(family)
    for name, change in load_file(folder / "adapter_model.safetensors").items():
        module = plain.get_submodule(name.removeprefix("base_model.model.").removesuffix(".bias_change"))
        module.register_forward_hook(lambda _, __, y, change=change: y + change)
    assert far(logits(plain), logits(network)) < 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_it_merges_where_the_base_has_the_biases_and_says_where_not(family: str) -> None:
    network, method = tiny(family), BitFit()
    sentence = method.cannot_merge(network)
    method.attach(network)
    stir(network)
    before = logits(network)
    assert method.cannot_merge(network) == sentence
    if family in BIASED:
        assert sentence is None
        method.merge(network)
        assert far(logits(network), before) < 1e-5
        assert not any(isinstance(module, BiasLayer) for module in network.modules())
        return
    assert sentence is not None
    assert f"a plain {network.config.model_type} model has no bias at model.layers.0." in sentence
    with pytest.raises(UserError, match=f"merge: {sentence}"):
        method.merge(network)
    assert torch.equal(logits(network), before)


def test_targets_choose() -> None:
    network = tiny("qwen2")
    BitFit(targets=("layers.0.self_attn.q_proj", "down_proj")).attach(network)
    names = [name for name, _ in wrapped(network, BiasLayer)]
    assert names == [
        f"model.layers.{i}.{end}" for i, end in [(0, "self_attn.q_proj"), *((i, "mlp.down_proj") for i in (0, 1))]
    ]
    sentence = BitFit(targets=("down_proj",)).cannot_merge(tiny("qwen2"))
    assert sentence is not None
    assert "qwen2 model has no bias at model.layers.0.mlp.down_proj" in sentence
    everywhere = tiny("gpt2")
    BitFit(targets="all-linear").attach(everywhere)
    assert len(list(wrapped(everywhere, BiasLayer))) == 8


def test_strength_scales_what_is_added() -> None:
    network, method = tiny("gpt2"), BitFit()
    method.attach(network)
    stir(network)
    for _, layer in wrapped(network, BiasLayer):
        layer.strength = 0.5
    half = logits(network)
    method.merge(network)
    assert far(logits(network), half) < 1e-5


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("q_porj", r"method\.targets: `q_porj` matches no layer; did you mean `q_proj`"),
        ("norm", "matches model.norm, which is a LlamaRMSNorm and no layer that can be adapted"),
    ],
)
def test_what_cannot_be_attached_is_refused_and_changes_nothing(target: str, message: str) -> None:
    network = tiny("llama")
    before = [type(m) for m in network.modules()]
    with pytest.raises(UserError, match=message):
        BitFit(targets=(target,)).attach(network)
    assert [type(m) for m in network.modules()] == before


def test_it_stands_behind_a_quantized_layer() -> None:
    network = tiny("llama")
    network.model.layers[1].mlp.down_proj = Packed(network.model.layers[1].mlp.down_proj)
    before = logits(network)
    BitFit().attach(network)
    assert torch.equal(logits(network), before)
    network(input_ids=torch.arange(9)[None]).logits.square().sum().backward()
    assert network.model.layers[1].mlp.down_proj.bias_change.grad.any()
