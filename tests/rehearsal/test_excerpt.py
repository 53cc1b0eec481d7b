"""What of a run is tried stands for all of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.core.batch import Example
from tunesmith.core.order import step_indices, steps_per_epoch
from tunesmith.models.language import rung
from tunesmith.rehearsal.excerpt import LOOKED_AT, Calendar, differing, evenly, outline
from tunesmith.streams.stream import steps
from tunesmith.streams.tokens import token_feed
from tunesmith.train.config import Train


def rows(*lengths: int) -> list[Example]:
    return [Example(list(range(n)), [True] * n, row) for row, n in enumerate(lengths, 1)]


def test_the_outline_counts_what_the_stream_gives() -> None:
    examples = rows(*(5 + i % 17 for i in range(40)))
    config = Train(batch_size=4, seed=3)
    stream = steps(token_feed(30), examples, seed=3, batch_size=4)
    passes = [(step, len(batch.tokens)) for step in range(25) for batch in stream(step)]
    found = outline(examples, config, 25, 30)
    assert found.tokens == sum(size for _, size in passes)
    biggest = max(size for _, size in passes)
    assert (found.largest[0], biggest) in passes


def test_a_long_row_is_tried_beside_the_fullest_pass() -> None:
    """Many short rows make the most tokens, one long row the most pairs: each may be what the memory must hold."""
    examples = rows(*([10] * 30), 80)
    config = Train(batch_size=10)
    found = outline(examples, config, steps_per_epoch(31, 10), 100)
    long_step = next(s for s in range(4) if 30 in step_indices(0, 31, 10, s))
    assert long_step in found.largest
    alike = outline(rows(*([10] * 30)), config, 3, 100)
    assert len(alike.largest) == 1


def test_a_long_run_is_looked_at_in_part_and_scaled() -> None:
    examples = rows(*([7] * 64))
    assert outline(examples, Train(batch_size=8), 10 * LOOKED_AT, 1000).tokens == 10 * LOOKED_AT * 56


@given(st.integers(1, 10**8), st.integers(1, 20))
def test_steps_are_spread_over_the_whole_run(count: int, most: int) -> None:
    found = evenly(count, most)
    assert len(found) == len(set(found)) <= min(count, most)
    assert all(0 <= place < count for place in found)
    if count > 100 and most >= 4:
        assert min(found[:4]) < count / 3
        assert max(found[:4]) > 2 * count / 3


@given(st.lists(st.integers(1, 4000), max_size=60), st.integers(1, 6))
def test_passes_that_differ_in_length_are_tried_once_and_the_longest_always(totals: list[int], most: int) -> None:
    places = differing(totals, most)
    lengths = [rung(totals[place]) for place in places]
    assert len(lengths) == len(set(lengths)) == min(most, len(set(map(rung, totals))))
    if totals:
        assert lengths[0] == rung(max(totals))


@pytest.mark.parametrize("steps", [1, 4, 12, 75, 100])
@pytest.mark.parametrize("checkpoint_every", [None, 1, 5, 30])
@pytest.mark.parametrize("evaluate_every", [None, 1, 7, 200])
@pytest.mark.parametrize("validated", [True, False])
def test_the_calendar_is_the_loops(
    steps: int, checkpoint_every: int | None, evaluate_every: int | None, validated: bool
) -> None:
    config = Train(checkpoint_every=checkpoint_every, evaluate_every=evaluate_every)
    every, times = config.checkpoint_interval(steps), config.evaluation_interval(steps)
    seen = {s for s in range(1, steps + 1) if s % times == 0 or s == steps} if validated else set()
    saved = seen | {s for s in range(1, steps + 1) if s % every == 0 or s == steps}
    found = Calendar.of(config, steps, validated)
    assert (found.validations, found.saves) == (len(seen), len(saved))
    assert 1 <= found.kept <= len(saved)
