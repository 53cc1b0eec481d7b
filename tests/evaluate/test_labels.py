import numpy as np
import pytest

from tunesmith.evaluate import labels


def test_scores_by_hand():
    gold = labels.numbered(["bad", "bad", "good", "good", "good", "mixed"], ["bad", "mixed", "good"])
    said = labels.numbered(["bad", "good", "good", "good", None, "bad"], ["bad", "mixed", "good"])
    assert gold.tolist() == [0, 0, 2, 2, 2, 1]
    assert said.tolist() == [0, 2, 2, 2, -1, 0]
    assert labels.accuracy(gold, said) == pytest.approx(3 / 6)
    # bad: precision 1/2, recall 1/2; mixed: 0; good: precision 2/3, recall 2/3
    assert float(labels.macro_f1(gold, said, 3)) == pytest.approx((1 / 2 + 0 + 2 / 3) / 3)
    assert labels.table(gold, said, 3) == [[1, 0, 1, 0], [1, 0, 0, 0], [0, 0, 2, 1]]
    assert labels.majority(gold) == pytest.approx(1 / 2)


def test_a_table_without_unknown_answers_is_square():
    gold = np.array([0, 1, 1])
    assert labels.table(gold, np.array([0, 0, 1]), 2) == [[1, 0], [1, 1]]


def test_a_label_that_never_occurs_is_left_out_of_the_mean():
    gold, said = np.array([0, 0, 1]), np.array([0, 0, 1])
    assert float(labels.macro_f1(gold, said, 5)) == 1


def test_many_corpora_at_once_equal_one_by_one():
    generator = np.random.default_rng(0)
    gold, said = generator.integers(4, size=(20, 30)), generator.integers(-1, 4, size=(20, 30))
    together = labels.macro_f1(gold, said, 4)
    assert together.tolist() == [float(labels.macro_f1(g, s, 4)) for g, s in zip(gold, said, strict=True)]
    assert len(set(together.tolist())) > 10


def test_a_label_that_has_no_name_is_none_of_them():
    assert labels.numbered(["a", "z"], ["a"]).tolist() == [0, labels.NONE]
