import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.core.batch import IGNORED, Example, pack

EXAMPLES = st.lists(
    st.lists(st.tuples(st.integers(0, 99), st.booleans()), min_size=1, max_size=12), min_size=1, max_size=6
)


def _examples(drawn):
    return [Example([t for t, _ in one], [y for _, y in one], row) for row, one in enumerate(drawn, 1)]


@given(EXAMPLES)
def test_a_label_is_the_token_that_follows_and_never_crosses(drawn):
    examples = _examples(drawn)
    batch = pack(examples)
    start = 0
    for example in examples:
        for t in range(len(example)):
            label = int(batch.labels[start + t])
            trained = t + 1 < len(example) and example.trained[t + 1]
            assert label == (example.tokens[t + 1] if trained else IGNORED)
            assert int(batch.positions[start + t]) == t
        start += len(example)
    assert batch.units == sum(sum(e.trained[1:]) for e in examples)


@given(EXAMPLES)
def test_halves_are_the_whole(drawn):
    batch = pack(_examples(drawn))
    halves = batch.halves()
    if len(drawn) == 1:
        assert halves is None
        return
    for name in ("tokens", "labels", "positions"):
        assert torch.equal(torch.cat([getattr(h, name) for h in halves]), getattr(batch, name))
    assert halves[0].lengths + halves[1].lengths == batch.lengths
    assert halves[0].rows + halves[1].rows == batch.rows


def test_branches_go_on_where_the_trunk_ends():
    # trunk a b; both branches begin with c, which the trunk would have had next
    tree = Example([1, 2, 3, 10, 11, 3, 20], [False, False, False, True, True, False, True], 1, [0, 0, 1, 1, 1, 2, 2])
    batch = pack([tree])
    assert batch.positions.tolist() == [0, 1, 2, 3, 4, 2, 3]
    assert batch.labels.tolist() == [IGNORED, IGNORED, 10, 11, IGNORED, 20, IGNORED]


def test_a_batch_moves_with_all_its_parts():
    batch = pack([Example([1, 2], [True, True], 7)]).to(torch.device("cpu"))
    assert batch.rows == (7,) and batch.lengths == (2,)


def test_masks_of_another_length_are_no_example():
    with pytest.raises(ValueError):
        pack([Example([1, 2], [True], 1)])
