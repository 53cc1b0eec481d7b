"""The general way: rows that read prompts while others go on, and those that must stay together."""

import pytest
import torch

from tests.families import FAMILIES, tiny
from tunesmith.models import padded_decode as module
from tunesmith.models.generate import Sampling, generate
from tunesmith.models.padded_decode import Grid, PaddedRows
from tunesmith.models.thin import Switch

PROMPTS = [[5, 6, 7], [9], [3, 1, 4, 1, 5, 9, 2, 6], [11] * 20, [5, 6, 8]]


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
def test_rows_are_filled_moved_and_stepped_as_if_each_were_alone(family: str) -> None:
    network = tiny(family)
    rows = PaddedRows(network, 3, PROMPTS, Switch())
    assert rows.refills

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
    assert equal(rows.fill([2, 3], [PROMPTS[4], PROMPTS[1]]), [PROMPTS[4], PROMPTS[1]])
    last = [[*texts[2], 40, 50], [*texts[1], 41, 51], [*PROMPTS[4], 52], [*PROMPTS[1], 53]]
    assert equal(rows.step([50, 51, 52, 53]), last)


def test_what_cannot_be_cut_stays_together(monkeypatch: pytest.MonkeyPatch) -> None:
    network, sampling = tiny("gemma3"), Sampling(tokens=6, temperature=1.0)
    stop = set(range(0, 320, 7))
    free = generate(network, PROMPTS, stop, sampling, at_once=2)
    monkeypatch.setattr(module, "_can_be_cut", lambda _: False)
    together = generate(network, PROMPTS, stop, sampling, at_once=2)
    assert [one.tokens for one in together] == [one.tokens for one in free]


def test_grids_side_by_side_are_as_wide_as_they_need_to_be() -> None:
    def grid(*lengths: int) -> Grid:
        width = max(lengths) + 2
        present = (torch.arange(width) >= width - torch.tensor(lengths)[:, None]).long()
        k = present[:, None, :, None].float().expand(-1, 1, -1, 2)
        return Grid(module.DynamicCache([(k, 2 * k)]), present)

    both = grid(3, 1).beside(grid(4))
    assert both.present.tolist() == [[0, 1, 1, 1], [0, 0, 0, 1], [1, 1, 1, 1]]
    assert torch.equal(both.cache.layers[0].keys[:, 0, :, 0], both.present.float())
    assert both.rows([2, 0]).present.tolist() == [[1, 1, 1, 1], [0, 1, 1, 1]]
