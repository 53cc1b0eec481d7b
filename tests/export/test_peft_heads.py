"""Adapters with heads go between PEFT and us in both directions, with equal scores."""

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor

from tests.export.oracle import HASH, ROW, far, stir
from tests.families import tiny_scored
from tunesmith.attached import attach_adapter
from tunesmith.core.headed import Head, mark_of
from tunesmith.core.layers import is_transposed
from tunesmith.export.adapter import adapter_head, write_adapter
from tunesmith.methods import AnyMethod
from tunesmith.methods.head import with_head

CLOSE = 1e-5
DECODERS = ("llama", "gpt2", "gpt_neox", "gemma3", "mixtral")
OURS: dict[str, dict[str, Any]] = {
    "lora": {"kind": "lora", "rank": 4},
    "dora": {"kind": "lora", "rank": 4, "magnitude": True},
    "ia3": {"kind": "ia3"},
    "loha": {"kind": "loha", "rank": 4},
    "lokr": {"kind": "lokr", "rank": 4},
    "prefix": {"kind": "prefix", "tokens": 3},
    "prompt": {"kind": "prompt", "tokens": 3},
    "ptuning": {"kind": "ptuning", "tokens": 3},
}
WITHOUT = {("prefix", "bert"), ("prompt", "bert"), ("ptuning", "bert")}
PAIRS = [(kind, family) for kind in OURS for family in ("llama", "bert") if (kind, family) not in WITHOUT]
PAIRS += [("lora", family) for family in (*DECODERS[1:], "roberta", "distilbert")]


@torch.no_grad()
def _scores(network: Any) -> Tensor:
    scores: Tensor = network(input_ids=ROW).logits.float()
    return scores


@pytest.mark.parametrize(("kind", "family"), PAIRS)
def test_peft_reads_ours(kind: str, family: str, tmp_path: Path) -> None:
    network = tiny_scored(family)
    method = with_head(TypeAdapter(AnyMethod).validate_python(OURS[kind]), network)
    method.attach(network)
    stir(network)
    network.eval()
    mark = mark_of(network)
    assert mark is not None
    write_adapter(
        tmp_path, method.stored(network), method.described(network),
        base_name=family, base_fingerprint=HASH, head=mark.head,
    )  # fmt: skip
    assert far(_scores(network), _scores(tiny_scored(family))) > 1e-2
    read = peft.PeftModel.from_pretrained(tiny_scored(family), tmp_path).eval()
    assert far(_scores(read), _scores(network)) < CLOSE


def _theirs(kind: str, family: str) -> Any:
    transposed = any(is_transposed(module) for module in tiny_scored(family).modules())
    task: dict[str, Any] = {"task_type": "SEQ_CLS"}
    # PEFT's own `all-linear` takes the first layer of DistilBERT's head, and then cannot save it.
    targets: Any = ["q_lin", "v_lin"] if family == "distilbert" else "all-linear"
    lora = {"r": 4, "target_modules": targets, "fan_in_fan_out": transposed}
    ends = {"bert": ["key", "value", "intermediate.dense"], "llama": ["k_proj", "v_proj", "down_proj"]}
    inner = {"bert": ["intermediate.dense"], "llama": ["down_proj"]}
    products = {"target_modules": ["query", "value"] if family == "bert" else ["q_proj", "v_proj"], "r": 4}
    made: dict[str, Any] = {
        "lora": lambda: peft.LoraConfig(**task, **lora),
        "dora": lambda: peft.LoraConfig(**task, **lora, use_dora=True),
        "ia3": lambda: peft.IA3Config(
            **task, target_modules=ends[family], feedforward_modules=inner[family], init_ia3_weights=False
        ),
        "loha": lambda: peft.LoHaConfig(**task, **products),
        "lokr": lambda: peft.LoKrConfig(**task, **products),
        "prefix": lambda: peft.PrefixTuningConfig(**task, num_virtual_tokens=3),
        "prompt": lambda: peft.PromptTuningConfig(**task, num_virtual_tokens=3),
        "ptuning": lambda: peft.PromptEncoderConfig(**task, num_virtual_tokens=3),
    }
    return made[kind]()


@pytest.mark.parametrize(("kind", "family"), PAIRS)
def test_we_read_what_peft_wrote(kind: str, family: str, tmp_path: Path) -> None:
    theirs = peft.get_peft_model(tiny_scored(family), _theirs(kind, family))
    stir(theirs)
    theirs.eval().save_pretrained(tmp_path)
    assert adapter_head(tmp_path) == Head(("LABEL_0", "LABEL_1", "LABEL_2"))
    network = tiny_scored(family)
    attach_adapter(network, tmp_path)
    assert far(_scores(network.eval()), _scores(theirs)) < CLOSE
    assert far(_scores(network), _scores(tiny_scored(family))) > 1e-3
