from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.train.schedule import factor

kinds = st.sampled_from(["cosine", "linear", "constant"])


@given(kinds, st.integers(1, 300), st.floats(0, 0.99))
def test_it_rises_then_never_rises_again(kind: str, steps: int, warmup: float) -> None:
    factors = [factor(step, steps, kind=kind, warmup=warmup) for step in range(steps)]  # type: ignore[arg-type]
    assert all(0 < f <= 1 for f in factors)
    top = factors.index(max(factors))
    assert factors[top] == 1
    assert all(a < b for a, b in pairwise(factors[: top + 1]))
    assert all(a >= b for a, b in pairwise(factors[top:]))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("cosine", [1, 0.853553, 0.5, 0.146447]), ("linear", [1, 0.75, 0.5, 0.25]), ("constant", [1, 1, 1, 1])],
)
def test_each_kind_falls_its_way(kind, expected) -> None:
    assert [factor(s, 4, kind=kind, warmup=0) for s in range(4)] == pytest.approx(expected, rel=1e-5)


def test_warm_up_takes_its_share() -> None:
    assert [factor(s, 20, kind="constant", warmup=0.15) for s in range(4)] == [0.25, 0.5, 0.75, 1]
