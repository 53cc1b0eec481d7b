"""Full fine-tuning: all weights or those that are named."""

import pytest

from tests.families import tiny
from tunesmith.core.errors import UserError
from tunesmith.methods.full import Full


def trained(targets: tuple[str, ...] | None, family: str = "llama") -> set[str]:
    network = tiny(family)
    method = Full(targets=targets)
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
