"""How a token is drawn: what transformers leaves over is left over, and draws come from that."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from tunesmith.core.errors import UserError
from tunesmith.models import sampling as module
from tunesmith.models.sampling import Known, Row, Sampling, draw, noise, shaped

ROWS, SIZE = 5, 700


def logits(seed: int, spread: float = 3.0) -> Tensor:
    return spread * torch.randn(ROWS, SIZE, generator=torch.Generator().manual_seed(seed))


def rows(count: int = ROWS, position: int = 0) -> list[Row]:
    return [Row(number, position) for number in range(count)]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    temperature=st.sampled_from([0.3, 1.0, 1.7]),
    top_k=st.one_of(st.none(), st.integers(1, 800)),
    top_p=st.sampled_from([0.05, 0.5, 0.9, 0.999, 1.0]),
    min_p=st.sampled_from([0.0, 0.01, 0.3, 1.0]),
    penalty=st.sampled_from([0.8, 1.0, 1.5]),
)
def test_what_is_left_over_is_what_transformers_leaves(
    seed: int, temperature: float, top_k: int | None, top_p: float, min_p: float, penalty: float
) -> None:
    given = logits(seed)
    said = torch.randint(SIZE, (ROWS, 40), generator=torch.Generator().manual_seed(seed))
    theirs = LogitsProcessorList()
    if penalty != 1:
        theirs.append(RepetitionPenaltyLogitsProcessor(penalty))
    theirs.append(TemperatureLogitsWarper(temperature))
    if top_k is not None:
        theirs.append(TopKLogitsWarper(top_k))
    if top_p < 1:
        theirs.append(TopPLogitsWarper(top_p))
    if min_p > 0:
        theirs.append(MinPLogitsWarper(min_p))
    expected = theirs(said, given.clone())
    seen = torch.zeros_like(given, dtype=torch.bool).scatter_(1, said, True)
    sampling = Sampling(
        temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, repetition_penalty=penalty, seed=seed
    )
    found = shaped(given, sampling, Known(seen=seen))
    same = torch.isclose(found, expected, rtol=1e-6)
    assert (same | _at_the_edge(given, said, sampling)).all()
    chosen, _ = draw(given, sampling, rows(), Known(seen=seen))
    assert found.gather(1, torch.tensor(chosen)[:, None]).isfinite().all()


def _at_the_edge(given: Tensor, said: Tensor, sampling: Sampling) -> Tensor:
    """-> (ROWS, SIZE): the words at which the sum of shares is top_p up to rounding, so that either side is right."""
    shaped_so_far = RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty)(said, given.clone())
    shaped_so_far = shaped_so_far / sampling.temperature
    if sampling.top_k is not None:
        shaped_so_far = TopKLogitsWarper(sampling.top_k)(said, shaped_so_far)
    shares, order = shaped_so_far.double().softmax(dim=-1).sort(dim=-1)
    near = (shares.cumsum(dim=-1) - (1 - sampling.top_p)).abs() < 1e-6
    return torch.zeros_like(near).scatter(1, order, near)


def test_a_row_is_shaped_and_drawn_as_if_it_were_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    given = logits(1)
    given[2] /= 100  # so flat that all tokens must be put in order
    sampling = Sampling(temperature=1.0, top_p=0.9)
    together, _ = draw(given, sampling, rows(), Known())
    for row in range(ROWS):
        alone = draw(given[row : row + 1], sampling, [Row(row, 0)], Known())[0]
        assert alone == together[row : row + 1]
    given[0, :50] = 1.0  # equals at the edge of top-p: whether few or all are put in order, the same are left
    monkeypatch.setattr(module, "FEW", 60)
    few = shaped(given[:1], Sampling(temperature=1.0, top_p=0.05), Known())
    monkeypatch.setattr(module, "FEW", 3)
    assert torch.equal(few, shaped(given[:1], Sampling(temperature=1.0, top_p=0.05), Known()))


def test_draws_come_from_the_distribution() -> None:
    p = torch.tensor([0.5, 0.25, 0.2, 0.04, 0.01, 0.0])
    count = 20_000
    drawn, logprobs = draw(p.log().expand(count, -1), Sampling(temperature=1.0, seed=5), rows(count), Known())
    shares = torch.bincount(torch.tensor(drawn), minlength=6) / count
    assert ((shares - p).abs() <= 4 * (p * (1 - p) / count).sqrt()).all()
    assert logprobs == pytest.approx(p[torch.tensor(drawn)].log().tolist(), abs=1e-5)


def test_noise_is_exponential_and_a_function_of_seed_number_and_position() -> None:
    given = noise(3, [Row(8, 2), Row(9, 2), Row(8, 3)], 50_000)
    assert given.gt(0).all() and given.mean(1).sub(1).abs().max() < 0.03
    assert given.lt(0.1).float().mean(1).sub(1 - torch.tensor(-0.1).exp()).abs().max() < 0.01
    assert torch.equal(noise(3, [Row(8, 3)], 50_000)[0], given[2])
    assert torch.corrcoef(given).fill_diagonal_(0).abs().max() < 0.03
    assert not torch.equal(noise(4, [Row(8, 2)], 50_000)[0], given[0])


@pytest.mark.parametrize("position", [0, 7])
def test_positions_draw_anew(position: int) -> None:
    flat = torch.zeros(ROWS, SIZE)
    here, there = (draw(flat, Sampling(temperature=1.0), rows(ROWS, p), Known())[0] for p in (position, position + 1))
    assert here != there and len(set(here)) > 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"tokens": 0}, "tokens: 0; must be at least 1"),
        ({"temperature": -1.0}, "temperature: -1.0"),
        ({"temperature": float("nan")}, "temperature: nan"),
        ({"top_k": 0}, "top_k: 0; must be at least 1"),
        ({"top_p": 0.0}, "top_p: 0.0"),
        ({"min_p": 1.5}, "min_p: 1.5"),
        ({"repetition_penalty": 0.0}, "repetition_penalty: 0.0"),
        ({"seed": -1}, "seed: -1"),
        ({"stop": ("a", "")}, "texts that are not empty"),
    ],
)
def test_what_means_nothing_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Sampling(**wrong)


def test_logits_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(UserError, match="not numbers"):
        draw(torch.full((1, 4), float("nan")), Sampling(), rows(1), Known())
