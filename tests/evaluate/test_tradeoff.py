from tunesmith.evaluate.tradeoff import best_tradeoffs


def test_what_costs_more_and_gains_less_is_beaten():
    assert best_tradeoffs([(1, 0.7), (2, 0.8), (3, 0.75)]) == [True, True, False]


def test_equals_stand_together_and_a_tie_in_one_decides_by_the_other():
    assert best_tradeoffs([(1, 0.7), (1, 0.7)]) == [True, True]
    assert best_tradeoffs([(1, 0.7), (2, 0.7)]) == [True, False]
    assert best_tradeoffs([(1, 0.6), (1, 0.7)]) == [False, True]


def test_one_alone_is_the_best_and_nothing_is_nothing():
    assert best_tradeoffs([(5, -3)]) == [True]
    assert best_tradeoffs([]) == []
