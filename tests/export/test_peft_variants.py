"""LoRA's relatives and virtual tokens: files go both ways between us and PEFT, with equal logits."""

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch import Tensor, nn

from tests.export.oracle import HASH, ROW, far, logits, ours, read_by_peft, read_by_us, stir, theirs
from tests.families import FAMILIES, tiny
from tunesmith.attached import attach_adapter
from tunesmith.core.errors import UserError
from tunesmith.core.layers import is_transposed
from tunesmith.export.adapter import write_adapter
from tunesmith.methods.lora import LoRA
from tunesmith.methods.method import MethodConfig
from tunesmith.methods.prefix import Prefix
from tunesmith.methods.prompt import Prompt, PTuning

pytestmark = pytest.mark.filterwarnings("ignore")
EXACT = 1e-5
EXPERTS = ("mixtral", "qwen3_moe")
LINEAR = {"gpt2": ("c_attn", "c_fc"), "gpt_neox": ("query_key_value", "dense_h_to_4h")}
TABLE = {"gpt2": "wte", "gpt_neox": "embed_in"}
COUNT = 4  # virtual tokens, fewer than the window of the families that have one


def linear(family: str) -> tuple[str, ...]:
    return LINEAR.get(family, ("q_proj", "o_proj"))


def targets(family: str) -> tuple[str, ...]:
    return (*linear(family), TABLE.get(family, "embed_tokens"))


def tail(network: Any) -> Tensor:
    """PEFT gives logits of virtual tokens too."""
    return logits(network)[-ROW.shape[1] :]


LORAS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "dora": ({"magnitude": True}, {"use_dora": True}),
    "embedding": ({}, {}),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("variant", LORAS)
def test_relatives_of_lora_go_both_ways(variant: str, family: str, tmp_path: Path) -> None:
    mine, other = LORAS[variant]
    chosen = linear(family) if variant == "dora" else targets(family)
    network, folder = ours(family, tmp_path / "ours", LoRA(rank=4, alpha=6, targets=chosen, **mine))
    assert far(logits(network), logits(tiny(family))) > 1e-2, "an adapter that does nothing proves nothing"
    assert far(logits(read_by_peft(family, folder)), logits(network)) < EXACT
    peft_network, folder = theirs(family, tmp_path / "theirs", r=4, lora_alpha=6, target_modules=list(chosen), **other)
    assert far(logits(read_by_us(family, folder)), logits(peft_network)) < EXACT


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_pissa_is_stored_as_plain_lora_that_peft_reads(family: str, tmp_path: Path) -> None:
    network, folder = ours(family, tmp_path, LoRA(rank=4, start="pissa", targets=linear(family), rank_stabilized=True))
    assert far(logits(network), logits(tiny(family))) > 1e-2
    assert far(logits(read_by_peft(family, folder)), logits(network)) < EXACT


VIRTUAL: dict[str, tuple[MethodConfig, Any]] = {
    "prefix": (Prefix(tokens=COUNT), peft.PrefixTuningConfig),
    "prompt": (Prompt(tokens=COUNT), peft.PromptTuningConfig),
    "ptuning": (PTuning(tokens=COUNT, hidden=8), peft.PromptEncoderConfig),
    "ptuning-lstm": (PTuning(tokens=COUNT, hidden=8, encoder="lstm"), peft.PromptEncoderConfig),
}
MORE: dict[str, dict[str, Any]] = {
    "ptuning": {"encoder_hidden_size": 8},
    "ptuning-lstm": {"encoder_hidden_size": 8, "encoder_reparameterization_type": "LSTM"},
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", VIRTUAL)
def test_virtual_tokens_go_both_ways(kind: str, family: str, tmp_path: Path) -> None:
    method, config = VIRTUAL[kind]
    network, folder = ours(family, tmp_path / "ours", method)
    assert far(logits(network), logits(tiny(family))) > 1e-3, "an adapter that does nothing proves nothing"
    assert far(tail(read_by_peft(family, folder)), logits(network)) < EXACT
    asked = config(task_type="CAUSAL_LM", num_virtual_tokens=COUNT, **MORE.get(kind, {}))
    torch.manual_seed(1)
    other = peft.get_peft_model(tiny(family), asked)
    stir(other)
    other.save_pretrained(tmp_path / "theirs")
    expected = tail(other.eval())
    assert far(logits(read_by_us(family, tmp_path / "theirs")), expected) < EXACT


def test_a_prefix_projection_is_read_as_what_it_made(tmp_path: Path) -> None:
    asked = peft.PrefixTuningConfig(
        task_type="CAUSAL_LM", num_virtual_tokens=COUNT, prefix_projection=True, encoder_hidden_size=8
    )
    other = peft.get_peft_model(tiny("llama"), asked)
    stir(other)
    other.save_pretrained(tmp_path)
    assert far(logits(read_by_us("llama", tmp_path)), tail(other.eval())) < EXACT


class Convolutions(nn.Module):
    """What image models have; PEFT does not ask what a network is for."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 8, 3, padding=1, stride=2)
        self.second = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(x)))


def test_convolutions_equal_pefts_and_merge() -> None:
    network, other = Convolutions(), Convolutions()
    method = LoRA(rank=2, alpha=3, targets=("first", "second"))
    method.attach(network)
    stir(network)
    asked = peft.LoraConfig(r=2, lora_alpha=3, target_modules=["first", "second"])
    theirs_network: Any = peft.get_peft_model(other, asked)
    places = dict(theirs_network.named_parameters())
    with torch.no_grad():
        for name, tensor in method.stored(network).items():
            places["base_model.model." + name.replace(".weight", ".default.weight")].copy_(tensor)
    x = torch.randn(2, 3, 9, 9)
    expected = theirs_network(x)
    assert torch.allclose(network(x), expected, atol=1e-6)
    assert not torch.allclose(network(x), Convolutions()(x), atol=1e-2)
    method.merge(network)
    assert isinstance(network.first, nn.Conv2d)
    assert torch.allclose(network(x), expected, atol=1e-5)


def test_a_prefix_of_another_shape_is_refused(tmp_path: Path) -> None:
    network = tiny("llama")
    method = Prefix(tokens=COUNT)
    method.attach(network)
    write_adapter(tmp_path, method.stored(network), method.described(network), base_name="x", base_fingerprint=HASH)
    again = tiny("gpt2")
    with pytest.raises(UserError, match="another base"):
        attach_adapter(again, tmp_path)
    assert not hasattr(again, "virtual_tokens")
    assert any(is_transposed(module) for module in again.modules())
