"""Full fine-tuning: all weights or those that are named."""

from typing import Any

import pytest

from tests.families import FAMILIES, tiny
from tunesmith.core.errors import UserError
from tunesmith.methods.full import Full


def trained(targets: tuple[str, ...] | None, family: str = "llama", **more: Any) -> set[str]:
    network = tiny(family)
    method = Full(targets=targets, **more)
    method.attach(network)
    found = {name for name, p in network.named_parameters() if p.requires_grad}
    assert set(method.stored(network)) == found
    return found


def test_it_trains_everything_or_what_is_named() -> None:
    everything = {name for name, _ in tiny("llama").named_parameters()}
    assert trained(None) == everything
    assert trained(("layers.1",)) == {name for name in everything if ".layers.1." in name}
    assert trained(("layers.1.*", "lm_head")) == {n for n in everything if ".layers.1." in n or n == "lm_head.weight"}
    assert trained(("*norm*",)) == {name for name in everything if "norm" in name}


def test_a_tied_weight_trains_once() -> None:
    assert "lm_head.weight" not in trained(None, "llama-tied")


@pytest.mark.parametrize(
    ("wrong", "right"), [("layer.1", "layers"), ("lm_haed", "lm_head"), ("down_porj", "down_proj")]
)
def test_a_name_that_matches_nothing_is_refused_with_a_near_one(wrong: str, right: str) -> None:
    with pytest.raises(UserError, match=f"`{wrong}` matches no parameter; did you mean .*`{right}`"):
        Full(targets=(wrong,)).attach(tiny("llama"))


def test_the_last_layers_train_alone_or_with_what_is_named() -> None:
    for family in FAMILIES:
        network = tiny(family)
        count = network.config.num_hidden_layers
        Full(last_layers=1).attach(network)
        found = {name for name, p in network.named_parameters() if p.requires_grad}
        last = f"{'h' if family == 'gpt2' else 'layers'}.{count - 1}."
        assert found == {name for name, _ in network.named_parameters() if last in name}, family
    everything = {name for name, _ in tiny("llama").named_parameters()}
    assert trained(None, last_layers=2) == {name for name in everything if ".layers." in name}
    named = trained(("model.norm", "lm_head"), last_layers=1)
    assert named == {n for n in everything if ".layers.1." in n or n in ("model.norm.weight", "lm_head.weight")}


def test_what_is_frozen_by_a_pattern_stays() -> None:
    everything = {name for name, _ in tiny("llama").named_parameters()}
    assert trained(None, freeze=("embed_tokens",)) == everything - {"model.embed_tokens.weight"}
    assert trained(None, last_layers=1, freeze=("*norm*", "self_attn")) == {
        n for n in everything if ".layers.1.mlp" in n
    }


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (Full(last_layers=3), r"method\.last_layers: 3 is more than the 2 layers that this base has"),
        (
            Full(freeze=("embed_token",)),
            r"method\.freeze: `embed_token` matches no parameter; did you mean .*embed_tokens",
        ),
        (Full(last_layers=1, freeze=("layers.1",)), r"method\.freeze: nothing is left to train"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(method: Full, message: str) -> None:
    network = tiny("llama").requires_grad_(False)
    with pytest.raises(UserError, match=message):
        method.attach(network)
    assert not any(p.requires_grad for p in network.parameters())
