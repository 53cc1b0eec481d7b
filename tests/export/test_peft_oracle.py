"""Adapter files go both ways between us and PEFT, on every family, with equal logits."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from safetensors import safe_open
from safetensors.torch import save_file

from tests.export.oracle import HASH, described_by, far, logits, ours, read_by_peft, read_by_us, theirs
from tests.families import FAMILIES, tiny
from tunesmith.attached import attach_adapter
from tunesmith.core.errors import UserError
from tunesmith.export.adapter import write_adapter
from tunesmith.methods.lora import LoRA

pytestmark = pytest.mark.filterwarnings("ignore")  # PEFT warns about patterns that it made itself
EXACT = 1e-5

# One layer of each family by an end that is ambiguous or not, and its attention by a regular expression.
ENDS = {"gpt2": ["c_attn", "c_fc"], "gpt_neox": ["query_key_value", "dense_h_to_4h"]}
EXPERTS = ("mixtral", "qwen3_moe")
FIRST = {"gpt2": "transformer.h.0.attn.c_attn", "gpt_neox": "gpt_neox.layers.0.attention.query_key_value"}


def ends(family: str) -> list[str]:
    return ENDS.get(family, ["q_proj", "o_proj"])


def first(family: str) -> str:
    return FIRST.get(family, "model.layers.0.self_attn.q_proj")


@pytest.mark.parametrize("family", FAMILIES)
def test_peft_reads_ours(family: str, tmp_path: Path) -> None:
    method = LoRA(rank=4, alpha=6, ranks={first(family): 2}, alphas={first(family): 3.5}, rank_stabilized=True)
    network, folder = ours(family, tmp_path / "adapter", method)
    again = read_by_peft(family, folder)
    assert far(logits(network), logits(tiny(family))) > 1e-2, "an adapter that does nothing proves nothing"
    assert far(logits(again), logits(network)) < EXACT


PEFT_CONFIGS: dict[str, Any] = {
    "all-linear": lambda f: {"target_modules": "all-linear", "r": 4, "lora_alpha": 8},
    "ends": lambda f: {"target_modules": ends(f), "r": 3, "lora_alpha": 7, "lora_dropout": 0.1},
    "patterns": lambda f: {
        "target_modules": ends(f), "r": 4, "lora_alpha": 8, "use_rslora": True,
        "rank_pattern": {rf".*\.0\..*{ends(f)[0]}": 2, r".*\.1\..*": 3},
        "alpha_pattern": {rf".*\.0\..*{ends(f)[1]}": 5},
    },
    "patterns of ends": lambda f: {
        "target_modules": ends(f), "r": 4, "rank_pattern": {ends(f)[0]: 2}, "alpha_pattern": {ends(f)[1]: 3},
    },
    "expression": lambda f: {"target_modules": rf".*\.1\..*({'|'.join(ends(f))})", "r": 2},
    "some layers": lambda f: {
        "target_modules": ends(f), "layers_to_transform": [1], "exclude_modules": [ends(f)[1]], "r": 2,
    },
}  # fmt: skip


@pytest.mark.parametrize("asked", PEFT_CONFIGS)
@pytest.mark.parametrize("family", FAMILIES)
def test_we_read_pefts(family: str, asked: str, tmp_path: Path) -> None:
    network, folder = theirs(family, tmp_path, **PEFT_CONFIGS[asked](family))
    again = read_by_us(family, folder)
    assert far(logits(network), logits(tiny(family))) > 1e-3
    assert far(logits(again), logits(network)) < EXACT


STACKED: dict[str, dict[str, Any]] = {
    "one of two": {"target_parameters": ["experts.down_proj"], "target_modules": ["q_proj"]},
    "the inner one": {"target_parameters": ["gate_up_proj"], "target_modules": []},
    "no modules": {"target_parameters": ["experts.gate_up_proj", "experts.down_proj"]},
    "router": {"target_parameters": ["mlp.gate.weight", "down_proj"], "target_modules": [], "use_rslora": True},
    "patterns": {
        "target_parameters": ["experts.gate_up_proj", "experts.down_proj", "q_proj.weight"], "target_modules": [],
        "rank_pattern": {r".*\.0\..*down_proj": 2, "experts.gate_up_proj": 3, "q_proj.weight": 5},
        "alpha_pattern": {r".*\.1\..*gate_up_proj": 5},
    },
    "one layer": {"target_parameters": ["model.layers.1.mlp.experts.gate_up_proj"], "target_modules": ["o_proj"]},
    "old names": {"target_modules": ["q_proj", "gate", "FIRST", "SECOND", "THIRD"]},
}  # fmt: skip
OLD_NAMES = {"mixtral": ["w1", "w2", "w3"], "qwen3_moe": ["gate_proj", "down_proj", "up_proj"]}


@pytest.mark.parametrize("asked", STACKED)
@pytest.mark.parametrize("family", EXPERTS)
def test_stacked_experts_are_read_and_what_we_write_of_them_too(family: str, asked: str, tmp_path: Path) -> None:
    config = {"r": 4, "lora_alpha": 7, **STACKED[asked]}
    if asked == "old names":
        config["target_modules"] = config["target_modules"][:2] + OLD_NAMES[family]
    network, folder = theirs(family, tmp_path / "theirs", **config)
    again = tiny(family)
    method = attach_adapter(again, folder)
    assert far(logits(network), logits(tiny(family))) > 1e-2
    assert far(logits(again), logits(network)) < EXACT
    stored, described = method.stored(again), method.described(again)
    mine = write_adapter(tmp_path / "ours", stored, described, base_name=family, base_fingerprint=HASH)
    assert far(logits(read_by_peft(family, mine)), logits(network)) < EXACT
    assert outline(mine) == outline(folder)
    method.merge(again)
    assert far(logits(again), logits(network)) < EXACT


def test_a_file_with_one_layer_for_each_expert_is_refused_and_can_be_saved_again(tmp_path: Path) -> None:
    draw = torch.Generator().manual_seed(2)
    tensors, inner = {}, tiny("mixtral").config.intermediate_size
    for layer, expert, old in itertools.product(range(2), range(4), ("w1", "w2", "w3")):
        name = f"base_model.model.model.layers.{layer}.block_sparse_moe.experts.{expert}.{old}"
        sizes = (inner, 48) if old == "w2" else (48, inner)
        tensors[f"{name}.lora_A.weight"] = 0.1 * torch.randn(4, sizes[0], generator=draw)
        tensors[f"{name}.lora_B.weight"] = 0.1 * torch.randn(sizes[1], 4, generator=draw)
    LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["w1", "w2", "w3"]).save_pretrained(tmp_path / "old")
    save_file(tensors, tmp_path / "old" / "adapter_model.safetensors")
    with pytest.raises(UserError, match="belongs to one expert") as caught:
        read_by_us("mixtral", tmp_path / "old")
    assert "\n" not in str(caught.value)
    network: Any = read_by_peft("mixtral", tmp_path / "old")
    network.save_pretrained(tmp_path / "new")
    assert far(logits(network), logits(tiny("mixtral"))) > 1e-2
    assert far(logits(read_by_us("mixtral", tmp_path / "new")), logits(network)) < EXACT


@pytest.mark.parametrize("family", EXPERTS)
def test_all_linear_is_the_same_set_as_pefts(family: str, tmp_path: Path) -> None:
    _, mine = ours(family, tmp_path / "ours", LoRA(rank=4, alpha=8))
    _, other = theirs(family, tmp_path / "theirs", r=4, lora_alpha=8, target_modules="all-linear")
    assert outline(mine) == outline(other)
    written, known = (json.loads((f / "adapter_config.json").read_text()) for f in (mine, other))
    same = set(written) - {"base_model_name_or_path", "rank_pattern", "alpha_pattern"}
    assert described_by(written, same) == described_by(known, same)
    assert set(written["target_parameters"]) == {"gate_up_proj", "down_proj", "gate.weight"}
    assert set(written["rank_pattern"].values()) == set(known["rank_pattern"].values()) == {8}
    values = [json.dumps(sorted(set(c["alpha_pattern"].values()))) for c in (written, known)]
    assert values == ["[16]", "[16]"]


@pytest.mark.parametrize("family", ["llama", "llama-tied", "gpt2"])
def test_the_output_head_as_a_target_goes_both_ways(family: str, tmp_path: Path) -> None:
    network, folder = ours(family, tmp_path / "ours", LoRA(rank=4, targets=("lm_head", ends(family)[0])))
    assert far(logits(read_by_peft(family, folder)), logits(network)) < EXACT
    other, folder = theirs(family, tmp_path / "theirs", target_modules=["lm_head"], r=4)
    assert far(logits(read_by_us(family, folder)), logits(other)) < EXACT


@pytest.mark.parametrize("family", FAMILIES)
def test_the_file_is_what_peft_would_have_written(family: str, tmp_path: Path) -> None:
    _, mine = ours(family, tmp_path / "ours", LoRA(rank=4, alpha=8, dropout=0.1, targets=tuple(ends(family))))
    _, other = theirs(family, tmp_path / "theirs", r=4, lora_alpha=8, lora_dropout=0.1, target_modules=ends(family))
    assert outline(mine) == outline(other)
    written, known = (json.loads((f / "adapter_config.json").read_text()) for f in (mine, other))
    shared = set(written) - {"base_model_name_or_path"}
    assert shared <= set(known), "a key that PEFT does not know"
    assert described_by(written, shared) == described_by(known, shared)
    text = (mine / "adapter_config.json").read_text()
    assert text == json.dumps(written, indent=2, sort_keys=True)


def outline(folder: Path) -> dict[str, Any]:
    with safe_open(folder / "adapter_model.safetensors", framework="pt") as file:
        tensors = {key: (file.get_tensor(key).dtype, tuple(file.get_tensor(key).shape)) for key in file.keys()}  # noqa: SIM118
        return {"metadata": file.metadata(), "tensors": tensors}


def test_our_own_file_comes_back_to_the_bit(tmp_path: Path) -> None:
    network, folder = ours("qwen3", tmp_path / "a", LoRA(rank=4, ranks={"down_proj": 8}))
    assert torch.equal(logits(read_by_us("qwen3", folder)), logits(network))


@pytest.mark.parametrize(
    "config",
    [
        {"bias": "lora_only", "target_modules": ["q_proj"]},
        {"lora_bias": True, "target_modules": ["q_proj"]},
        {"modules_to_save": ["lm_head"], "target_modules": ["q_proj"]},
        {"init_lora_weights": "pissa", "target_modules": ["q_proj"]},
    ],
    ids=lambda c: next(iter(c)),
)
def test_what_plain_lora_has_not_is_refused_in_one_line(config: dict[str, Any], tmp_path: Path) -> None:
    _, folder = theirs("llama", tmp_path, r=4, **config)
    with pytest.raises(UserError) as caught:
        read_by_us("llama", folder)
    assert "\n" not in str(caught.value)
    assert "adapter_" in str(caught.value)
