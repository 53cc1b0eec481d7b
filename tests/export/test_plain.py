"""A plain model folder: transformers reads it and says the same; what is shared is written once."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.export.oracle import far, logits, stir
from tests.families import FAMILIES, tiny, tiny_tokenizer
from tunesmith.core.errors import RunFailed, UserError
from tunesmith.export.plain import write_model
from tunesmith.methods.lora import LoRA

TIED = ("llama-tied", "gemma", "gemma3", "gpt2")


@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_reads_what_was_merged(family: str, tmp_path: Path) -> None:
    network = tiny(family)
    method = LoRA(rank=4)
    method.attach(network)
    stir(network)
    attached = logits(network)
    method.merge(network)
    folder = write_model(tmp_path / "m", network, tiny_tokenizer(), dtype=torch.float32)
    again = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()
    assert torch.equal(logits(again), logits(network))
    assert far(logits(again), attached) < 1e-5
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.chat_template == tiny_tokenizer().chat_template
    assert {p.name for p in folder.iterdir()} >= {"config.json", "generation_config.json", "model.safetensors"}
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize("family", TIED)
def test_tied_weights_are_written_once_and_stay_tied(family: str, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", tiny(family), tiny_tokenizer(), dtype=torch.float32)
    assert "lm_head.weight" not in load_file(folder / "model.safetensors")
    again = AutoModelForCausalLM.from_pretrained(folder)
    assert again.get_output_embeddings().weight is again.get_input_embeddings().weight


@pytest.mark.parametrize("family", TIED)
def test_a_head_that_was_trained_is_untied_and_both_are_written(family: str, tmp_path: Path) -> None:
    network = tiny(family)
    embedding = network.get_input_embeddings().weight.clone()
    method = LoRA(rank=4, targets=("lm_head",))
    method.attach(network)
    stir(network)
    attached = logits(network)
    method.merge(network)
    folder = write_model(tmp_path / "m", network, tiny_tokenizer(), dtype=torch.float32)
    again = AutoModelForCausalLM.from_pretrained(folder).eval()
    assert json.loads((folder / "config.json").read_text())["tie_word_embeddings"] is False
    assert torch.equal(again.get_input_embeddings().weight, embedding), "the embedding had no update"
    assert not torch.equal(again.get_output_embeddings().weight, embedding)
    assert far(logits(again), attached) < 1e-5


def test_bfloat16_is_rounded_once_and_buffers_stay_float32(tmp_path: Path) -> None:
    network = tiny("llama")
    exact = network.lm_head.weight.clone()
    folder = write_model(tmp_path / "m", network, tiny_tokenizer(), dtype=torch.bfloat16)
    stored = load_file(folder / "model.safetensors")
    assert {t.dtype for t in stored.values()} == {torch.bfloat16}
    assert torch.equal(stored["lm_head.weight"], exact.bfloat16())
    assert network.model.rotary_emb.inv_freq.dtype == torch.float32
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"


def test_a_taken_folder_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "thesis.txt").write_text("mine")
    for replace in (False, True):
        with pytest.raises(UserError, match="exists already"):
            write_model(tmp_path / "m", tiny("llama"), tiny_tokenizer(), dtype=torch.float32, replace=replace)
    assert [p.name for p in (tmp_path / "m").iterdir()] == ["thesis.txt"]
    first = write_model(tmp_path / "n", tiny("llama"), tiny_tokenizer(), dtype=torch.float32)
    with pytest.raises(UserError, match="exists already"):
        write_model(first, tiny("llama"), tiny_tokenizer(), dtype=torch.float32)
    write_model(first, tiny("llama", seed=1), tiny_tokenizer(), dtype=torch.float32, replace=True)
    assert torch.equal(load_file(first / "model.safetensors")["lm_head.weight"], tiny("llama", seed=1).lm_head.weight)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "n"]


def test_a_weight_that_is_not_finite_is_not_written(tmp_path: Path) -> None:
    network = tiny("llama")
    network.lm_head.weight.data[3, 4] = torch.nan
    with pytest.raises(RunFailed, match=r"`lm_head\.weight` is not finite"):
        write_model(tmp_path / "m", network, tiny_tokenizer(), dtype=torch.float32)
    assert not list(tmp_path.iterdir())
