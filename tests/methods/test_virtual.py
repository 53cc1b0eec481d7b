"""Virtual tokens: what they begin as, that every way of reading sees them alike, and what a cache makes of them."""

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache

from tests.contracts.methods import given, texts
from tests.export.oracle import ROW, far, logits, stir
from tests.families import FAMILIES, tiny
from tunesmith.core.errors import UserError
from tunesmith.methods.method import MethodConfig
from tunesmith.methods.prefix import Prefix
from tunesmith.methods.prompt import Prompt, PTuning
from tunesmith.models.generate import Sampling, generate

KINDS: dict[str, MethodConfig] = {"prefix": Prefix(tokens=5), "prompt": Prompt(tokens=5), "ptuning": PTuning(tokens=5)}


@torch.no_grad()
def after(family: str, words: list[int]) -> Tensor:
    """-> the logits of ROW when real words stand before it."""
    tokens = torch.cat([torch.tensor([words]), ROW], 1)
    return tiny(family)(input_ids=tokens, use_cache=False).logits[0, len(words) :]


@pytest.mark.parametrize("kind", ["prefix", "prompt"])
@pytest.mark.parametrize("family", FAMILIES)
def test_they_begin_as_real_tokens(family: str, kind: str) -> None:
    network = tiny(family)
    method = KINDS[kind]
    method.attach(network)
    method.prepare(network, given(network))
    assert far(logits(network), after(family, texts()[0][:5])) < 1e-5


@pytest.mark.parametrize("kind", [Prefix, Prompt])
def test_a_text_gives_the_first_words_and_is_repeated_when_short(kind: type[MethodConfig]) -> None:
    network = tiny("llama")
    method = kind(tokens=5, text="of the mill")
    method.attach(network)
    method.prepare(network, given(network))  # whose encode gives the lengths of words
    assert far(logits(network), after("llama", [2, 3, 4, 2, 3])) < 1e-5


def test_few_rows_are_repeated() -> None:
    network = tiny("llama")
    method = Prompt(tokens=40)
    method.attach(network)
    method.prepare(network, given(network))
    words = [token for text in texts() for token in text]
    assert far(logits(network), after("llama", [*words, *words][:40])) < 1e-5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", ["llama", "gemma3", "gpt2", "mistral-window"])
def test_a_cache_gives_what_one_reading_gives_and_rows_do_not_disturb_each_other(family: str, kind: str) -> None:
    network = tiny(family)
    KINDS[kind].attach(network)
    stir(network)
    prompts = [[5, 6, 7, 8, 9, 10, 11], [40, 41, 42]]
    together = generate(network, prompts, set(), Sampling(tokens=6))
    for prompt, written in zip(prompts, together, strict=True):
        answer = written.tokens
        assert generate(network, [prompt], set(), Sampling(tokens=6))[0].tokens == answer
        tokens = list(prompt)
        for token in answer:
            with torch.no_grad():
                said = network(input_ids=torch.tensor([tokens]), use_cache=False).logits[0]
            assert said.shape[0] == len(tokens)
            assert int(said[-1].argmax()) == token
            tokens.append(token)


@pytest.mark.parametrize("kind", KINDS)
def test_switched_off_a_cache_has_nothing_of_them(kind: str) -> None:
    network = tiny("llama")
    KINDS[kind].attach(network)
    stir(network)
    network.virtual_tokens.active = False
    cache = DynamicCache()
    with torch.no_grad():
        network(input_ids=ROW, past_key_values=cache, use_cache=True)
    assert cache.get_seq_length() == ROW.shape[1]


def test_two_of_these_methods_cannot_stand_over_each_other() -> None:
    network = tiny("llama")
    KINDS["prefix"].attach(network)
    with pytest.raises(UserError, match="virtual tokens already"):
        KINDS["prompt"].attach(network)


@pytest.mark.parametrize("encoder", ["mlp", "lstm"])
def test_the_small_network_of_ptuning_is_as_wide_as_asked(encoder: str) -> None:
    sizes = []
    for hidden in (8, 32):
        network = tiny("llama")
        PTuning(tokens=5, hidden=hidden, encoder=encoder).attach(network)
        sizes.append(sum(p.numel() for p in network.parameters() if p.requires_grad))
        assert network.virtual_tokens.embeddings().shape == (5, 48)
        assert (network.virtual_tokens.lstm is not None) == (encoder == "lstm")
    assert sizes[0] < sizes[1]
