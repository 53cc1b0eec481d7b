from tunesmith.core.batch import Example
from tunesmith.suites.exposure import _where_they_differ, common

SECRETS = ([3, 4, 5], [3, 6, 5], [3, 4, 7])


def test_only_what_differs_is_scored_and_what_follows_it_is_not_read() -> None:
    made = [
        Example([1, 2, *secret, 8, 9], [False, True, *[True] * 5], 0) for secret in ([3, 4, 5], [3, 6, 5], [3, 4, 7])
    ]
    found = _where_they_differ(made)
    assert [list(one.tokens) for one in found] == [[1, 2, 3, 4, 5], [1, 2, 3, 6, 5], [1, 2, 3, 4, 7]]
    assert all(list(one.trained) == [False, False, False, True, True] for one in found)


def test_secrets_of_unequal_length_are_scored_whole() -> None:
    found = _where_they_differ([Example([1, 5, 9], [True] * 3, 0), Example([1, 5, 6, 9], [True] * 4, 0)])
    assert [list(one.tokens) for one in found] == [[1, 5, 9], [1, 5, 6, 9]]
    assert [sum(one.trained) for one in found] == [1, 2], "the end of the shorter one must count"


def test_common_beginnings() -> None:
    assert common([[1, 2, 3], [1, 2], [1, 2, 4]]) == 2 and common([[1], [2]]) == 0
