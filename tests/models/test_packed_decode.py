"""The fast way: which networks it serves, and slots that are filled while others go on."""

import pytest
import torch

from tests.families import FAMILIES, tiny
from tunesmith.methods.prefix import Prefix
from tunesmith.methods.prompt import Prompt
from tunesmith.models.packed_decode import PackedRows, _passes, walks
from tunesmith.models.thin import Switch

PROMPTS = [[5, 6, 7], [9], [3, 1, 4, 1, 5, 9, 2, 6], [11] * 40, [5, 6, 8]]


def test_it_serves_what_has_a_fast_walk_and_a_steady_rotation() -> None:
    served = {family for family in FAMILIES if walks(tiny(family))}
    assert served == {"llama", "llama-tied", "qwen2", "qwen3", "mistral", "mistral-window"}
    network = tiny("llama")
    network.config.rope_parameters = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
    assert not walks(network)


@torch.no_grad()
@pytest.mark.parametrize("method", [None, Prefix(tokens=5), Prompt(tokens=5)])
@pytest.mark.parametrize("family", ["llama", "qwen3", "mistral-window"])
def test_rows_are_filled_moved_and_stepped_as_if_each_were_alone(family: str, method: Prefix | Prompt | None) -> None:
    network = tiny(family)
    if method is not None:
        method.attach(network)
        torch.nn.init.normal_(next(p for p in network.parameters() if p.requires_grad))
        network.eval()
    rows = PackedRows(network, 4, PROMPTS, Switch())

    def alone(tokens: list[int]) -> torch.Tensor:
        return network(torch.tensor([tokens]), use_cache=False).logits[0, -1]

    def equal(found: torch.Tensor, texts: list[list[int]]) -> bool:
        return torch.allclose(found, torch.stack(list(map(alone, texts))), atol=1e-4)

    assert equal(rows.fill([0, 1, 2], PROMPTS[:3]), PROMPTS[:3])
    assert equal(rows.step([20, 21, 22]), [[*p, 20 + i] for i, p in enumerate(PROMPTS[:3])])
    assert equal(rows.fill([1], [PROMPTS[3]]), [PROMPTS[3]])
    texts = [[*PROMPTS[0], 20, 30], [*PROMPTS[3], 31], [*PROMPTS[2], 22, 32]]
    assert equal(rows.step([30, 31, 32]), texts)
    rows.move(2, 0)
    assert equal(rows.step([40, 41]), [[*texts[2], 40], [*texts[1], 41]])
    again = [PROMPTS[3], PROMPTS[2]]  # whose keys are in slots still: of a row that goes on, and of one that was moved
    assert equal(rows.fill([2, 3], again), again)
    last = [[*texts[2], 40, 50], [*texts[1], 41, 51], [*PROMPTS[3], 52], [*PROMPTS[2], 53]]
    assert equal(rows.step([50, 51, 52, 53]), last)


def test_prompts_are_read_in_passes_of_bounded_size() -> None:
    prompts = [(1,) * 900, (2,) * 900, (3,) * 900, (4,) * 5000, (5,)]
    assert [len(some) for some in _passes(prompts, ())] == [2, 1, 1, 1]
    assert [prompt for some in _passes(prompts, ()) for prompt in some] == prompts
