from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tunesmith.core.batch import Example
from tunesmith.core.order import steps_per_epoch
from tunesmith.streams.stream import steps
from tunesmith.streams.tokens import fitted, token_feed


def _examples(lengths):
    return [Example([row] * length, [True] * length, row) for row, length in enumerate(lengths)]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(1, 60))
def test_every_example_is_in_one_group_that_fits(lengths, limit):
    groups = fitted(_examples(lengths), limit)
    assert Counter(e.row for group in groups for e in group) == Counter(range(len(lengths)))
    assert all(sum(map(len, group)) <= limit or len(group) == 1 for group in groups)


def test_few_groups():
    assert [len(group) for group in fitted(_examples([6, 5, 4, 4, 1]), 10)] == [2, 3]


@given(st.integers(1, 30), st.integers(1, 8), st.integers(0, 3))
def test_an_epoch_shows_each_example_once(count, batch_size, seed):
    stream = steps(token_feed(7), _examples([3] * count), seed=seed, batch_size=batch_size)
    per_epoch = steps_per_epoch(count, batch_size)
    for epoch in range(2):
        seen = [row for step in range(per_epoch) for batch in stream(epoch * per_epoch + step) for row in batch.rows]
        assert sorted(seen) == list(range(count))


def test_a_step_is_a_pure_function_of_its_number():
    streams = [steps(token_feed(30), _examples(range(1, 20)), seed=3, batch_size=4) for _ in range(2)]
    for step in (7, 2, 7):
        first, second = (stream(step) for stream in streams)
        assert [b.rows for b in first] == [b.rows for b in second]
        assert all((a.tokens == b.tokens).all() for a, b in zip(first, second, strict=True))
