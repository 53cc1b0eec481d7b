"""How much of compared answers is read at one time."""

from tunesmith.core.answers import Answers, tree
from tunesmith.core.batch import Example
from tunesmith.streams.answers import FULL, no_reference, pair_feed, pass_limit


def pairs(count: int, prompt: int, answer: int) -> list[Answers]:
    def one(row: int, word: int) -> Example:
        return Example([*range(prompt), *[word] * answer], [False] * prompt + [True] * answer, row)

    return [tree([one(row, 1000), one(row, 1001)], better=((0, 1),)) for row in range(count)]


def test_a_pass_holds_what_one_answer_of_each_row_would_need() -> None:
    """Long answers: two of them are not read side by side where one alone would be."""
    trees = pairs(40, 20, 200)
    limit = pass_limit(trees, 8, 100_000)
    assert 8 * 220 <= limit <= 8 * 221
    passes = pair_feed(no_reference, limit)(trees[:8], 0)
    assert len(passes) == 2 and all(len(batch.packed.tokens) <= limit for batch in passes)


def test_short_rows_stand_in_one_pass() -> None:
    trees = pairs(40, 60, 6)
    limit = pass_limit(trees, 8, 100_000)
    assert limit == FULL and len(pair_feed(no_reference, limit)(trees[:8], 0)) == 1


def test_what_fits_the_memory_comes_first() -> None:
    assert pass_limit(pairs(4, 20, 200), 8, 500) == 500
