"""The feed of a distillation, with a student that is a function of its seeds and a teacher that is a table."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from tunesmith.core.batch import IGNORED, Example, TokenBatch
from tunesmith.core.errors import UserError
from tunesmith.streams.taught import Own, Taught, both, prompt_of, teachers

ROWS = [Example([5, 6, 7, 10 + row, 3, 4, 2], [False] * 4 + [True] * 3, row) for row in range(40)]


def write(prompts: Sequence[Sequence[int]], seeds: Sequence[int]) -> list[Any]:
    draws = [torch.Generator().manual_seed(seed % 2**31) for seed in seeds]
    counts = [int(torch.randint(1, 8, (1,), generator=draw)) for draw in draws]
    texts = [torch.randint(20, 90, (n,), generator=draw).tolist() for n, draw in zip(counts, draws, strict=True)]
    return [SimpleNamespace(tokens=text, logprobs=[0.0] * len(text), ended=len(text) < 7) for text in texts]


def ask(packed: TokenBatch) -> tuple[Tensor, Tensor]:
    labels = packed.labels[packed.labels != IGNORED]
    return labels[:, None], torch.zeros(len(labels), 1)


def feed(share: float, seed: int = 3) -> Taught:
    return Taught(ask, 64, False, Own(write, share, seed))


def by_row(passes: Sequence[Any]) -> dict[int, list[int]]:
    """-> what is learned of each row."""
    found: dict[int, list[int]] = {}
    for batch in passes:
        start = 0
        for row, length in zip(batch.packed.source, batch.packed.lengths, strict=True):
            labels = batch.packed.labels[start : start + length]
            found[row], start = labels[labels != IGNORED].tolist(), start + length
    return found


def test_the_share_of_rows_is_answered_by_the_student() -> None:
    given = {row.row: [3, 4, 2] for row in ROWS}
    assert by_row(feed(0.0)(ROWS, 0)) == given == by_row(feed(1.0)(ROWS, None))  # what is judged stays as it is
    assert all(answer != [3, 4, 2] for answer in by_row(feed(1.0)(ROWS, 0)).values())
    some = feed(0.5)(ROWS, 0)
    own = [row for row, answer in by_row(some).items() if answer != [3, 4, 2]]
    told = dict(some[0].told)
    assert 8 < len(own) < 32 and told["sampled"] == len(own) / 40 and 1 <= told["answer_length"] <= 7


def test_an_answer_depends_on_its_row_and_step_alone() -> None:
    together = by_row(feed(0.5)(ROWS, 4))
    for row in ROWS[::7]:
        assert by_row(feed(0.5)([row], 4)) == {row.row: together[row.row]}
    assert by_row(feed(0.5)(ROWS, 5)) != together != by_row(feed(0.5, seed=4)(ROWS, 4))


def test_the_prompt_is_all_that_stands_before_the_last_answer() -> None:
    learned = [False, True, True, False, False, True]
    assert prompt_of(Example([1, 2, 3, 4, 5, 6], learned, 0)) == [1, 2, 3, 4, 5]
    assert prompt_of(Example([1, 2, 3], [False, True, False], 0)) == [1]
    with pytest.raises(UserError, match=r"row 7: objective.sampled wants a question"):
        prompt_of(Example([1, 2], [True, True], 7))


def test_what_both_find_likely_is_kept() -> None:
    said = torch.tensor([[0.6, 0.3, 0.06, 0.04]]).log()
    own = torch.tensor([[0.02, 0.03, 0.05, 0.9]]).log()
    assert teachers([said], 2)[0].tolist() == [[0, 1]]
    choices, logprobs = both([said, said], [own, own], 2)
    assert choices.tolist() == [[3, 0], [3, 0]]
    torch.testing.assert_close(logprobs, said.gather(1, choices[:1]).expand(2, 2))
