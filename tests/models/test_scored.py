"""Scores of packed texts are those of transformers' own classification networks, on every family."""

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.families import ENCODERS, FAMILIES, VOCABULARY, tiny_scored
from tests.models.test_language import FAST
from tunesmith.core.batch import Example, TokenBatch, pack
from tunesmith.methods import Prefix, Prompt
from tunesmith.models.scored import Scored

EVERY = [*FAMILIES, *ENCODERS]
LOW = 5  # special tokens lie below: transformers reads padding from the tokens


def _texts(lengths: tuple[int, ...] = (13, 4, 21, 1), seed: int = 1) -> list[list[int]]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.randint(LOW, VOCABULARY, (n,), generator=draw).tolist() for n in lengths]


def _packed(texts: list[list[int]]) -> TokenBatch:
    return pack([Example(text, [False] * len(text), row) for row, text in enumerate(texts)])


def _theirs(network: Any, texts: list[list[int]]) -> Tensor:
    return torch.cat([network(input_ids=torch.tensor([text])).logits for text in texts]).float()


def _apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


@pytest.mark.parametrize("family", EVERY)
@torch.no_grad()
def test_scores_are_those_of_transformers(family: str) -> None:
    network = tiny_scored(family)
    model, texts = Scored(network), _texts()
    padded = family in ENCODERS and family != "bert"
    assert model.way == ("padded" if padded else "walk" if family in FAST else "packed")
    expected = _theirs(network, texts)
    assert model(_packed(texts)).dtype == torch.float32
    assert _apart(model(_packed(texts)), expected) < 1e-5
    assert _apart(Scored(network, "padded")(_packed(texts)), expected) < 1e-5


def _tree() -> tuple[Example, list[list[int]], list[int]]:
    """-> a prompt with three answers as a tree, the texts that it stands for, and where they end in it."""
    (trunk, *answers), last = _texts((7, 3, 5, 2)), 11
    tokens, branches = list(trunk), [0] * 7
    ends = []
    for number, answer in enumerate(answers, 1):
        tokens += [last, *answer]
        branches += [number] * (1 + len(answer))
        ends.append(len(tokens) - 1)
    tree = Example(tokens, [False] * len(tokens), 0, branches)
    return tree, [[*trunk, last, *answer] for answer in answers], ends


@pytest.mark.parametrize("family", EVERY)
@torch.no_grad()
def test_each_branch_of_a_tree_is_a_text(family: str) -> None:
    network = tiny_scored(family, count=1)
    tree, texts, ends = _tree()
    (alone,) = _texts((6,), seed=3)
    batch = pack([Example(alone, [False] * 6, 1), tree])
    places = torch.tensor([6 + end for end in ends])
    expected = _theirs(network, texts)
    for way in dict.fromkeys([None, "padded"]):
        model = Scored(network, way)
        assert _apart(model.scores_at(batch, places.flip(0)), expected.flip(0)) < 1e-5
        assert _apart(model(batch), torch.cat([_theirs(network, [alone]), expected])) < 1e-5


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3", "bert"])
def test_the_gradient_is_that_of_the_padded_way(family: str) -> None:
    found = []
    for way in (None, "padded"):
        network = tiny_scored(family)
        Scored(network, way).train()(_packed(_texts())).square().sum().backward()
        found.append({name: p.grad for name, p in network.named_parameters() if p.grad is not None})
    ours, theirs = found
    assert set(ours) == set(theirs)
    assert max(_apart(ours[name], theirs[name]) for name in theirs if theirs[name].abs().max() > 1e-4) < 1e-4


@pytest.mark.parametrize("family", ["llama", "gemma", "bert"])
def test_in_bfloat16_the_way_is_the_same(family: str) -> None:
    model = Scored(tiny_scored(family, dtype=torch.bfloat16))
    assert model.way == Scored(tiny_scored(family)).way
    with torch.no_grad():
        texts = _texts()
        expected = _theirs(model.network, texts)
        assert _apart(model(_packed(texts)), expected) < 0.05


@pytest.mark.parametrize("method", [Prompt(tokens=3), Prefix(tokens=3)])
@torch.no_grad()
def test_virtual_tokens_stand_before_every_text(method: Any) -> None:
    network = tiny_scored("qwen3")
    texts = _texts()
    without = _theirs(network, texts)
    method.attach(network)
    expected = _theirs(network, texts)
    assert _apart(expected, without) > 1e-3
    assert _apart(Scored(network, "walk")(_packed(texts)), expected) < 1e-5
    assert _apart(Scored(network, "packed")(_packed(texts)), expected) < 1e-5


def test_layers_that_are_computed_again_give_the_same_gradient() -> None:
    found = []
    for recompute in (False, True):
        network = tiny_scored("llama")
        Scored(network, recompute=recompute).train()(_packed(_texts())).square().sum().backward()
        found.append(network.model.layers[0].mlp.up_proj.weight.grad)
    assert _apart(found[1], found[0]) < 1e-6
