"""Every way through a network gives the gradient of the network's own code, however the examples are packed."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.export.oracle import stir
from tests.families import FAMILIES, VOCABULARY, tiny
from tests.models.closeness import apart
from tunesmith.core.batch import Example, pack
from tunesmith.methods import METHODS, Full, LoRA
from tunesmith.models.language import CausalLM, Way, choose_way
from tunesmith.models.walk import serves

LENGTHS = (40, 7, 33, 65, 12, 9, 3, 20)
EXACT = 1e-5
SERVED = {"llama", "llama-tied", "qwen2", "qwen3", "mistral", "mistral-window"}


def _examples() -> list[Example]:
    g = torch.Generator().manual_seed(1)
    return [
        Example(torch.randint(VOCABULARY, (n,), generator=g).tolist(), (torch.rand(n, generator=g) > 0.5).tolist(), i)
        for i, n in enumerate(LENGTHS)
    ]


def _tree(row: int, trunk: int, tails: tuple[int, ...]) -> Example:
    g = torch.Generator().manual_seed(row)
    branches = [0] * trunk + [k for k, n in enumerate(tails, 1) for _ in range(n)]
    tokens = torch.randint(VOCABULARY, (len(branches),), generator=g)
    for k in range(1, len(tails) + 1):
        tokens[branches.index(k)] = 5  # all branches start with the token that they share
    return Example(tokens.tolist(), [b > 0 for b in branches], row, branches)


def _network(family: str) -> nn.Module:
    """A tiny network with an adapter that does something."""
    network = tiny(family)
    LoRA(rank=4).attach(network)
    torch.manual_seed(0)
    for p in _trained(network):
        nn.init.normal_(p, std=0.1)
    return network


def _trained(network: nn.Module) -> list[nn.Parameter]:
    return [p for p in network.parameters() if p.requires_grad]


def _gradient(network: nn.Module, way: Way, passes: list[list[Example]]) -> list[Tensor]:
    """-> [every log-probability, every gradient], over all passes."""
    model = CausalLM(network, way).train()
    network.zero_grad()
    values = []
    for examples in passes:
        logprobs = model(pack(examples))
        (-logprobs.sum()).backward()
        values.append(logprobs.detach())
    grads = [p.grad.flatten() for p in _trained(network) if p.grad is not None]
    return [torch.cat(values), torch.cat(grads)]


def _cuts() -> dict[str, list[list[Example]]]:
    rows = _examples()
    return {"8": [rows], "4+4": [rows[:4], rows[4:]], "1x8": [[row] for row in rows]}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_gradient_does_not_depend_on_way_or_packing(family: str) -> None:
    network = _network(family)
    fastest = choose_way(network)
    ways: list[Way] = ["walk", "packed", "padded"]
    expected = _gradient(network, "padded", _cuts()["1x8"])
    for way in ways[ways.index(fastest) :]:
        for name, passes in _cuts().items():
            assert apart(_gradient(network, way, passes), expected) < EXACT, (way, name)


@pytest.mark.parametrize("family", FAMILIES)
def test_branches_are_rows_that_share_a_beginning(family: str) -> None:
    network = _network(family)
    fastest = choose_way(network)
    rows = [_tree(1, 9, (4, 8)), _tree(2, 3, (5, 2, 7)), _examples()[0]]
    ways: list[Way] = ["walk", "packed", "padded"]
    expected = _gradient(network, "padded", [[row] for row in rows])
    for way in ways[ways.index(fastest) :]:
        assert apart(_gradient(network, way, [rows]), expected) < EXACT, way


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_goes_the_way_that_was_made_for_it(family: str) -> None:
    network = tiny(family)
    assert (choose_way(network) == "walk") == (family in SERVED)
    assert serves(network) == (family in SERVED)


@pytest.mark.parametrize("family", sorted(SERVED))
def test_every_weight_of_a_network_gets_its_gradient(family: str) -> None:
    network = tiny(family)
    Full().attach(network)
    for p in network.parameters():
        p.requires_grad_(True)
    rows = _examples()[:4]
    assert apart(_gradient(network, "walk", [rows]), _gradient(network, "padded", [rows])) < EXACT


def test_a_network_without_an_adapter_walks_alike() -> None:
    network = tiny("qwen2")
    rows = [pack(_examples())]
    with torch.no_grad():
        walked, plain = (CausalLM(network, way).train(False)(rows[0]) for way in ("walk", "padded"))
    assert float((walked - plain).abs().max()) < 1e-4


EVERY: dict[str, Callable[[], Any]] = {
    **{kind: method for kind, method in METHODS.items() if kind != "full" and not method.bare},
    "houlsby": lambda: METHODS["bottleneck"](place="houlsby"),
    "parallel": lambda: METHODS["bottleneck"](place="parallel"),
}


def _with(kind: str, family: str) -> nn.Module:
    network = tiny(family)
    EVERY[kind]().attach(network)
    stir(network)
    return network


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_every_method_walks_as_the_network_goes_by_itself(kind: str, family: str) -> None:
    network, rows = _with(kind, family), _examples()
    expected = _gradient(network, "padded", [[row] for row in rows])
    assert apart(_gradient(network, "walk", [rows]), expected) < EXACT


@pytest.mark.parametrize("kind", EVERY)
def test_no_method_leaves_the_fast_way(kind: str) -> None:
    network, rows = _with(kind, "llama"), pack(_examples())
    for module in network.modules():
        if type(module).__name__ in ("LlamaMLP", "LlamaAttention", "LlamaRMSNorm"):
            module.forward = lambda *_: pytest.fail("the network's own code ran")
    CausalLM(network, "walk").train()(rows).sum().backward()


def test_attention_dropout_is_left_to_the_network() -> None:
    network = tiny("llama")
    assert serves(network)
    network.config.attention_dropout = 0.1
    assert not serves(network)
