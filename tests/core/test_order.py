from hypothesis import given
from hypothesis import strategies as st

from tunesmith.core.order import seen, step_indices, steps_per_epoch


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 70), st.integers(0, 5))
def test_each_epoch_shows_each_example_once(seed: int, count: int, batch_size: int, epoch: int) -> None:
    steps = steps_per_epoch(count, batch_size)
    windows = [step_indices(seed, count, batch_size, epoch * steps + s) for s in range(steps)]
    assert sorted(i for window in windows for i in window) == list(range(count))
    assert all(len(window) == batch_size for window in windows[:-1])
    assert 1 <= len(windows[-1]) <= batch_size


FIXED = [[4, 5, 9, 8], [1, 7, 6, 0], [2, 3], [8, 6, 9, 5]]


def test_the_order_is_fixed_for_ever() -> None:
    assert [step_indices(7, 10, 4, s) for s in range(4)] == FIXED


def test_epochs_and_seeds_differ() -> None:
    orders = {tuple(step_indices(seed, 20, 20, epoch)) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25


@given(st.integers(1, 30), st.integers(1, 8), st.integers(1, 12))
def test_what_some_steps_show(count, batch_size, steps):
    shown = seen(3, count, batch_size, steps)
    assert shown == sorted({place for step in range(steps) for place in step_indices(3, count, batch_size, step)})
