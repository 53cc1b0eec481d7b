"""Answers: those of transformers when greedy, and functions of prompt, number and sampling alone."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.contracts.methods import NAMES, attached_to
from tests.families import FAMILIES, tiny
from tunesmith.core.batch import Example, pack
from tunesmith.core.errors import UserError
from tunesmith.models import generate as module
from tunesmith.models.generate import Rules, Sampling, Writing, Written, generate, step_by_step
from tunesmith.models.language import CausalLM
from tunesmith.models.packed_decode import PackedRows, walks
from tunesmith.models.thin import _has_kernels

BEGINNING = [7] * 20
PROMPTS = [[5, 6, 7], [9], [3, 1, 4, 1, 5, 9, 2, 6], [*BEGINNING, 8], [*BEGINNING, 9, 10], [5, 6, 7], [11] * 33]
DRAWN = Sampling(tokens=8, temperature=0.9, top_k=200, top_p=0.95, min_p=0.001, repetition_penalty=1.1, seed=4)
WALKED = [family for family in FAMILIES if walks(tiny(family))]


@cache
def network(family: str = "llama") -> Any:
    """Read it only: all tests share it."""
    return tiny(family)


def theirs(network: Any, prompt: Sequence[int], tokens: int) -> list[int]:
    """Greedy, by transformers."""
    given = torch.tensor([prompt])
    said = network.generate(
        given, attention_mask=torch.ones_like(given), do_sample=False, max_new_tokens=tokens, min_new_tokens=tokens,
        pad_token_id=0, eos_token_id=None,
    )  # fmt: skip
    return said[0, len(prompt) :].tolist()


def tokens(written: Sequence[Written]) -> list[list[int]]:
    return [one.tokens for one in written]


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_is_that_of_transformers_however_rows_are_filled(family: str) -> None:
    expected = [theirs(network(family), prompt, 6) for prompt in PROMPTS]
    stop = {expected[0][2], expected[3][0]}  # some end early, and their rows are filled again
    short = [said[: next((i for i, t in enumerate(said) if t in stop), len(said))] for said in expected]
    for at_once in (1, 3, 16):
        assert tokens(generate(network(family), PROMPTS, set(), Sampling(tokens=6), at_once=at_once)) == expected
        stopped = generate(network(family), PROMPTS, stop, Sampling(tokens=6), at_once=at_once)
        assert [one.answer for one in stopped] == short


@pytest.mark.parametrize("family", WALKED)
def test_the_walk_says_what_the_network_itself_says(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_both_ways_are_equal(network(family), monkeypatch)


@pytest.mark.parametrize("name", NAMES)
def test_so_it_does_with_any_method_attached(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, changed = attached_to(tiny("llama"), name)
    with torch.no_grad():
        for parameter in changed.parameters():
            if parameter.requires_grad:
                parameter += 0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    assert_both_ways_are_equal(changed, monkeypatch)


def assert_both_ways_are_equal(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert walks(network)

    def written() -> list[Written]:
        greedy = generate(network, PROMPTS, set(), Sampling(tokens=6), at_once=3)
        return greedy + generate(network, PROMPTS, set(), DRAWN, at_once=3)

    fast = written()
    monkeypatch.setattr(module, "walks", lambda _: False)
    for one, other in zip(fast, written(), strict=True):
        assert one.tokens == other.tokens
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_an_answer_depends_on_its_prompt_and_number_alone(family: str, data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(range(len(PROMPTS))), min_size=1, max_size=9))
    at_once = data.draw(st.integers(1, 10))
    stop = data.draw(st.sets(st.integers(0, 319), max_size=30))
    written = generate(network(family), [PROMPTS[i] for i in chosen], stop, DRAWN, seeds=chosen, at_once=at_once)
    for one, number in zip(written, chosen, strict=True):
        alone = generate(network(family), [PROMPTS[number]], stop, DRAWN, seeds=[number])[0]
        assert (one.tokens, one.ended) == (alone.tokens, alone.ended)
        assert one.logprobs == pytest.approx(alone.logprobs, abs=1e-4)


@pytest.mark.skipif(not _has_kernels(torch.bfloat16), reason="no products in bfloat16 that round each row alike")
def test_in_half_precision_it_does_not_depend_on_its_neighbours_either() -> None:
    half = tiny("llama", dtype=torch.bfloat16)
    whole = generate(half, PROMPTS, set(), DRAWN, at_once=7)
    for at_once in (1, 2, 5):
        assert generate(half, PROMPTS, set(), DRAWN, at_once=at_once) == whole


def test_numbers_and_seeds_make_other_answers() -> None:
    prompts = [PROMPTS[0]] * 4
    drawn = Sampling(tokens=12, temperature=1.0)
    first = tokens(generate(network(), prompts, set(), drawn))
    assert len(set(map(tuple, first))) == 4
    assert tokens(generate(network(), prompts[:2], set(), drawn, seeds=[3, 1])) == [first[3], first[1]]
    assert tokens(generate(network(), prompts, set(), Sampling(tokens=12, temperature=1.0, seed=1)))[0] != first[0]


@pytest.mark.parametrize("family", ["llama", "gemma3", "mixtral"])
@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_logprobs_are_those_of_the_network_at_the_temperature(family: str, temperature: float) -> None:
    sampling = Sampling(tokens=6, temperature=temperature, top_k=5, repetition_penalty=1.3)
    for prompt, one in zip(PROMPTS, generate(network(family), PROMPTS, set(), sampling, at_once=2), strict=True):
        with torch.no_grad():
            logits = network(family)(torch.tensor([[*prompt, *one.tokens]]), use_cache=False).logits[0]
        said = (logits[len(prompt) - 1 : -1] / (temperature or 1)).log_softmax(-1)
        expected = said.gather(1, torch.tensor(one.tokens)[:, None])[:, 0]
        assert one.logprobs == pytest.approx(expected.tolist(), abs=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logprobs_are_those_that_a_trainer_computes(dtype: torch.dtype) -> None:
    changed = tiny("llama", dtype=dtype)
    written = generate(changed, PROMPTS, set(), Sampling(tokens=8, temperature=1.0), at_once=3)
    examples = [
        Example([*prompt, *one.tokens], [False] * len(prompt) + [True] * len(one.tokens), row)
        for row, (prompt, one) in enumerate(zip(PROMPTS, written, strict=True))
    ]
    trained = CausalLM(changed, "walk")(pack(examples)).tolist()
    sampled = [logprob for one in written for logprob in one.logprobs]
    assert sampled == pytest.approx(trained, abs=1e-4 if dtype == torch.float32 else 0.05)


def test_the_stop_token_is_drawn_and_no_part_of_the_answer() -> None:
    free = generate(network(), PROMPTS[:1], set(), Sampling(tokens=8))[0]
    assert not free.ended and free.answer == free.tokens
    stopped = generate(network(), PROMPTS[:1], {free.tokens[3]}, Sampling(tokens=8))[0]
    end = free.tokens.index(free.tokens[3])
    assert stopped.ended and stopped.tokens == free.tokens[: end + 1] and stopped.answer == free.tokens[:end]
    assert len(stopped.logprobs) == len(stopped.tokens)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_row_that_has_ended_is_filled_again_at_once(family: str) -> None:
    prompts = [PROMPTS[0]] * 9
    drawn = Sampling(tokens=12, temperature=1.0)
    stop = set(range(0, 320, 9))
    lengths = [len(one.tokens) for one in generate(network(family), prompts, stop, drawn)]
    assert len(set(lengths)) > 2
    steps, heard = 0, []
    with Writing(network(family), prompts, Rules(stop, drawn), at_once=3) as writing:
        while writing.goes_on:
            assert len(writing.step()) <= 9
            steps += 1
            heard += [place for place, _ in writing.ended()]
    assert sorted(heard) == list(range(9))
    slots = [0, 0, 0]  # the next prompt goes where a row ends first; its first token comes in the same step
    for length in lengths:
        slots[slots.index(min(slots))] += length - 1
    assert steps - 1 <= max(slots) <= steps + 1


def test_each_answer_is_heard_when_it_has_ended() -> None:
    heard: dict[int, Written] = {}
    written = generate(network(), PROMPTS, set(), DRAWN, at_once=2, on_answer=heard.__setitem__)
    assert list(heard) != [] and [heard[place] for place in range(len(PROMPTS))] == written


def test_stop_strings_end_an_answer_and_are_cut_off() -> None:
    def decode(tokens: list[int]) -> str:
        return "".join(f"<{token}>" for token in tokens)

    free = generate(network(), PROMPTS[:2], set(), Sampling(tokens=8))
    string = decode(free[0].tokens[2:4])[1:-1]  # begins and ends inside of tokens
    cut = generate(network(), PROMPTS[:2], set(), Sampling(tokens=8, stop=(string, "never")), decode=decode)
    assert cut[0].ended and cut[0].answer == cut[0].tokens == free[0].tokens[:4]
    assert cut[0].text == decode(free[0].tokens[:2]) + "<"
    assert not cut[1].ended and cut[1].text == decode(free[1].tokens)


def test_steps_are_the_tokens_of_generate() -> None:
    free = generate(network(), PROMPTS[:2], set(), Sampling(tokens=5))
    stop = {free[0].tokens[2]}
    answers = [one.answer for one in generate(network(), PROMPTS[:2], stop, Sampling(tokens=5))]
    steps = list(step_by_step(network(), PROMPTS[:2], stop, Sampling(tokens=5)))
    for place, answer in enumerate(answers):
        assert [step[place] for step in steps if step[place] is not None] == answer


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_answers_end_where_the_context_does(family: str) -> None:
    long = [5] * 250
    assert [len(one.tokens) for one in generate(network(family), [long, [5]], set(), Sampling(tokens=9))] == [6, 9]
    with pytest.raises(UserError, match="prompt 2: 256 tokens, and the model reads 256 with the answer; shorten it"):
        generate(network(family), [long, [5] * 256], set(), Sampling())
    with pytest.raises(UserError, match="prompt 1: empty"):
        generate(network(family), [[]], set(), Sampling())
    assert generate(network(family), [], set(), Sampling()) == []


def test_the_network_is_left_as_it_was() -> None:
    changed: nn.Module = tiny("llama")
    steps = step_by_step(changed, PROMPTS[:1], set(), Sampling(tokens=5))
    next(steps)
    assert any("forward" in vars(layer) for layer in changed.modules()) == _has_kernels(torch.float32)
    steps.close()
    assert not any("forward" in vars(layer) for layer in changed.modules())


def test_what_all_begin_with_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    through = PackedRows._through

    def counted(self: PackedRows, x: torch.Tensor, *rest: Any) -> torch.Tensor:
        read.append(len(x))
        return through(self, x, *rest)

    monkeypatch.setattr(PackedRows, "_through", counted)
    prompts = [[*BEGINNING, 8, number] for number in range(6)]
    generate(network(), prompts * 2, set(), Sampling(tokens=3), at_once=3)
    assert sum(read) < 24 + 12 * 4 + 4 and read[0] == 24  # rounded up to fours; asked again, a prompt is read again
    read.clear()
    generate(network(), [prompts[0]] * 12, set(), Sampling(tokens=3), at_once=3)
    assert read == [24]
