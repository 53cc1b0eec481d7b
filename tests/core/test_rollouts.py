import torch

from tests.objectives.rollouts import cuts, numbers, packed
from tunesmith.core.batch import IGNORED
from tunesmith.core.rollouts import tree
from tunesmith.train.size import cut, measure


def test_a_prompt_stands_once_for_all_its_answers():
    made = tree([1, 2, 3], [[7, 8], [9]], row=5)
    assert list(made.tokens) == [1, 2, 3, 7, 8, 3, 9]
    assert list(made.branches) == [0, 0, 1, 1, 1, 2, 2]
    assert made.trained_tokens == 3


def test_it_counts_the_tokens_of_answers():
    known = numbers()
    one = torch.ones_like(known.old)
    batch = packed(known, one, one)
    assert batch.units == sum(known.flat) == measure(batch).trained
    assert batch.answers == len(known.flat) and batch.rows == (0, 1, 2)


def test_every_label_keeps_its_numbers_when_the_batch_is_cut():
    known = numbers()
    place = torch.arange(len(known.old), dtype=torch.float32)
    parts = cuts(packed(known, place, place))
    for part in parts:
        labels = part.packed.labels[part.packed.labels != IGNORED] - 10
        assert labels.tolist() == part.advantage.tolist()
        assert part.answers == 1 and not part.owner.any()
    assert torch.cat([part.advantage for part in parts]).tolist() == place.tolist()


def test_a_prompt_that_does_not_fit_is_cut_between_its_answers():
    known = numbers(lengths=[[5, 5, 5, 5]])
    one = torch.ones_like(known.old)
    passes = cut([packed(known, one, one)], limit=16)
    assert [measure(batch).tokens for batch in passes] == [15, 15]
    assert all(batch.rows == (0,) for batch in passes)
