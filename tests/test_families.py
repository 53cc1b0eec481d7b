"""The test matrix itself: models that are not degenerate, and a tokenizer that loses nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.families import EOS, FAMILIES, tiny, tiny_tokenizer


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_differ_between_tokens_and_depend_on_the_past(family: str) -> None:
    network = tiny(family)
    tokens = torch.arange(10, 22)[None]
    other = tokens.clone()
    other[0, 0] += 7
    with torch.no_grad():
        logits, changed = network(tokens).logits[0], network(other).logits[0]
    assert logits.isfinite().all()
    assert logits.std(-1).min() > 0.1
    assert (logits.softmax(-1).max(-1).values < 0.999).all(), "saturated: gradients would vanish"
    assert (logits[1:] - changed[1:]).abs().amax() > 1e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_family_reads_back_equal(family: str, tiny_folder: Callable[[str], Path]) -> None:
    again = AutoModelForCausalLM.from_pretrained(tiny_folder(family), dtype=torch.float32)
    stored = again.state_dict()
    for name, value in tiny(family).state_dict().items():
        assert torch.equal(value, stored[name]), name


def test_the_tokenizer_goes_there_and_back_and_knows_the_template(tiny_folder: Callable[[str], Path]) -> None:
    for tokenizer in (tiny_tokenizer(), AutoTokenizer.from_pretrained(tiny_folder("llama"))):
        text = "Grüße, 世界! the mill\n\n  two  spaces"
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
        turn = [{"role": "user", "content": "bread?"}]
        assert (
            tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
            == "<|im_start|>user\nbread?<|im_end|>\n<|im_start|>assistant\n"
        )
        assert len(tokenizer("<|im_start|>")["input_ids"]) == len(tokenizer(EOS)["input_ids"]) == 1
