import pytest
import torch

from tests.families import tiny
from tunesmith.models.generate import Sampling, generate, pieces


@pytest.fixture(scope="module")
def network():
    return tiny("llama").eval()


PROMPTS = [[5, 6, 7], [9], [3, 1, 4, 1, 5, 9, 2, 6]]


def test_greedy_is_that_of_transformers(network):
    ours = generate(network, PROMPTS, stop=set(), sampling=Sampling(tokens=6))
    for prompt, answer in zip(PROMPTS, ours, strict=True):
        theirs = network.generate(
            torch.tensor([prompt]), do_sample=False, max_new_tokens=6, min_new_tokens=6, pad_token_id=0
        )
        assert answer == theirs[0, len(prompt) :].tolist()


@pytest.mark.parametrize("sampling", [Sampling(tokens=5), Sampling(tokens=5, temperature=0.8, top_p=0.9, seed=4)])
def test_an_answer_does_not_depend_on_its_neighbours(network, sampling):
    together = generate(network, PROMPTS, set(), sampling)
    assert together[0] == generate(network, PROMPTS[:1], set(), sampling)[0]


def test_it_stops_at_a_stop_token(network):
    free = generate(network, PROMPTS[:1], set(), Sampling(tokens=8))[0]
    stopped = generate(network, PROMPTS[:1], {free[3]}, Sampling(tokens=8))[0]
    assert stopped == free[: free.index(free[3])]


def test_top_p_of_almost_nothing_is_greedy(network):
    greedy = generate(network, PROMPTS, set(), Sampling(tokens=5))
    assert generate(network, PROMPTS, set(), Sampling(tokens=5, temperature=1.0, top_p=1e-9)) == greedy


def test_pieces_do_not_break_a_character():
    euro = "a€b".encode()
    steps = iter([[byte] for byte in euro] + [[None]])
    assert list(pieces(steps, lambda tokens: bytes(tokens).decode(errors="replace"))) == ["a", "€", "b"]
