"""Our NF4 layers and adapters over them, against PEFT over bitsandbytes in transformers: equal files, equal numbers.

The widths are whole blocks: of a row that ends within a block, bitsandbytes 0.50 unpacks the rest with a wrong scale on
a CPU. And their network stays in training mode: once evaluating, theirs is rounded to bfloat16 on some processors.
"""

from pathlib import Path

import peft
import torch
from torch import nn
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig

from tests.export.oracle import HASH, ROW, far, stir
from tests.families import VOCABULARY
from tunesmith.core.kernels import bitsandbytes
from tunesmith.export.adapter import write_adapter
from tunesmith.methods.lora import LoRA
from tunesmith.models.quantized import quantize


def base(folder: Path) -> nn.Module:
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2,
    )  # fmt: skip
    torch.manual_seed(0)
    network = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.1)
    network.save_pretrained(folder)
    return network


def test_peft_over_bitsandbytes_says_the_same_and_learns_the_same(tmp_path: Path) -> None:
    bitsandbytes()
    network, method = base(tmp_path / "base"), LoRA(rank=4)
    quantize(network, "nf4")
    method.attach(network)
    stir(network)
    stored, described = method.stored(network), method.described(network)
    adapter = write_adapter(
        tmp_path / "a", stored, described, base_name="x", base_fingerprint=HASH, base_quantize="nf4"
    )
    how = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    packed = AutoModelForCausalLM.from_pretrained(
        tmp_path / "base", quantization_config=how, device_map="cpu", dtype=torch.float32
    )
    theirs = peft.PeftModel.from_pretrained(packed, adapter, is_trainable=True).train()
    assert sum(type(m).__module__ == "peft.tuners.lora.bnb" for m in theirs.modules()) == 14
    mine, other = network(input_ids=ROW, labels=ROW), theirs(input_ids=ROW, labels=ROW)
    assert far(mine.logits, other.logits) < 1e-5
    mine.loss.backward()
    other.loss.backward()
    found = {
        name.removeprefix("base_model.model.").replace(".default", ""): p.grad for name, p in theirs.named_parameters()
    }
    assert all(far(p.grad, found[name]) < 1e-4 for name, p in stored.items())
