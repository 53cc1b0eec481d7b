"""Cut, packed, shared, padded or one by one: the gradient of a set of examples is the same, on every family."""

import itertools

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from tests.families import FAMILIES, tiny
from tunesmith.core.batch import Example, pack
from tunesmith.core.errors import UserError
from tunesmith.methods.lora import LoRA
from tunesmith.methods.prefix import Prefix
from tunesmith.methods.prompt import Prompt
from tunesmith.models.language import CausalLM

EXACT = 1e-5
SHARED = 37


def _examples(vocabulary, shared=SHARED):
    """Eight examples with a common beginning, and a tree with the same."""
    draw = torch.Generator().manual_seed(1)
    head = torch.randint(vocabulary, (shared,), generator=draw).tolist()
    examples = []
    for row, length in enumerate((40, 7, 33, 65, 12, 9, 3), 1):
        tokens = torch.randint(vocabulary, (length,), generator=draw).tolist()
        trained = (torch.rand(length, generator=draw) > 0.5).tolist()
        examples.append(Example(head + tokens, [False] * shared + trained, row))
    tree = [1, 2, 3, 10, 11, 3, 20, 21]
    trained = [False, False, False, True, True, False, True, True]
    examples.append(Example(head + tree, [False] * shared + trained, 8, [0] * (shared + 2) + [1] * 3 + [2] * 3))
    return examples


def _gradient(network, way, cuts, share, recompute=False):
    model = CausalLM(network, way, recompute=recompute).train()
    network.zero_grad()
    for group in cuts:
        (-model(pack(group, share=share)).sum()).backward()
    return torch.cat([p.grad.flatten() for p in network.parameters() if p.requires_grad])


METHODS = {"lora": LoRA(rank=4), "prefix": Prefix(tokens=5), "prompt": Prompt(tokens=5)}
"""Layers in the tree, keys and values before it, and embeddings before it."""


def _attached(family, kind):
    """-> a network with random values in what trains, and the best way through it."""
    network = tiny(family).eval()
    best = CausalLM(network).way
    METHODS[kind].attach(network)
    for parameter in network.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.1)
    return network, best


@pytest.mark.parametrize("kind", METHODS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_gradient_does_not_depend_on_packing(family, kind):
    network, best = _attached(family, kind)
    # Where every layer has a window, only the first words of a row see virtual tokens.
    near = family == "mistral-window" and kind != "lora"
    examples = _examples(network.config.vocab_size, 3 if near else SHARED)
    alone = [[e] for e in examples]
    reference = _gradient(network, "padded", alone, share=False)
    ways = dict.fromkeys([best, "packed", "padded"])
    cuts = [examples], [examples[:4], examples[4:]], alone
    for way, cut, share in itertools.product(ways, cuts, (False, True)):
        found = _gradient(network, way, cut, share)
        difference = float((found - reference).norm() / reference.norm())
        assert difference < EXACT, f"{way}, {len(cut)} passes, shared: {share}: {difference:.1e}"


@pytest.mark.parametrize("kind", METHODS)
@pytest.mark.parametrize("family", FAMILIES)
def test_computed_again_the_gradient_is_the_same_and_less_is_kept(family, kind):
    network, best = _attached(family, kind)
    examples = _examples(network.config.vocab_size, 3)
    for way in dict.fromkeys([best, "packed", "padded"]):
        if (kind, way) == ("prefix", "padded"):
            with pytest.raises(UserError, match="not with prefix tuning of a family that cannot be packed"):
                _gradient(network, way, [examples], True, recompute=True)
            continue
        expected, kept = _counted(network, way, examples, False)
        found, again = _counted(network, way, examples, True)
        assert float((found - expected).norm() / expected.norm()) < EXACT
        assert again < kept
        network.gradient_checkpointing_disable()


def _counted(network, way, examples, recompute):
    """-> the gradient, and how many numbers were kept for it."""
    kept = []
    with saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        return _gradient(network, way, [examples], True, recompute), sum(kept)


def test_what_is_shared_is_laid_down_once():
    examples = _examples(200)
    batch = pack(examples, share=True)
    assert batch.shared in (SHARED - 1, SHARED)  # not the token that has a label
    assert batch.size == sum(map(len, examples)) == len(batch.tokens) + batch.shared * 7
    assert batch.units == pack(examples).units
    for half in batch.halves():
        assert half.tokens[: half.shared].equal(batch.tokens[: batch.shared])


def test_nothing_is_shared_that_is_trained_or_not_worth_it():
    taught = [Example([1, 2, 3, 4] * 10 + [i], [True] * 41, i) for i in range(3)]
    assert pack(taught, share=True).shared == 0
    short = [Example([1, 2, i, 5], [False, False, True, True], i) for i in range(3)]
    assert pack(short, share=True).shared == 0
    assert pack(_examples(200)[:1], share=True).shared == 0
