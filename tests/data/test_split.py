import random
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.core.errors import UserError
from tunesmith.data.duplicates import groups
from tunesmith.data.rows import Row
from tunesmith.data.split import limited, parted, refuse_equal, shared

WORDS = [f"w{n}" for n in range(500)]


def text(random_: random.Random, words: int = 40) -> str:
    return " ".join(random_.choices(WORDS, k=words))


def rows(texts: list[str]) -> list[Row]:
    return [Row("f.jsonl", n, {"text": value}) for n, value in enumerate(texts, start=1)]


def places(found: list[Row], fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)) -> dict[str, str]:
    parts = parted(found, fractions, 0.8)
    return {row.digest: name for name in ("train", "validation", "test") for row in getattr(parts, name)}


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.text(min_size=1, max_size=30), min_size=3, max_size=40, unique=True), st.randoms(use_true_random=False)
)
def test_every_row_is_in_one_part_and_order_changes_nothing(texts: list[str], shuffle: random.Random) -> None:
    found = rows(texts)
    try:
        parts = parted(found, (0.6, 0.2, 0.2), 0.8)
    except UserError as error:
        assert "too few to split" in str(error)
        return
    assert all((parts.train, parts.validation, parts.test))
    assert sorted(row.number for part in (parts.train, parts.validation, parts.test) for row in part) == [
        r.number for r in found
    ]
    mixed = list(found)
    shuffle.shuffle(mixed)
    assert places(mixed, (0.6, 0.2, 0.2)) == places(found, (0.6, 0.2, 0.2))


def test_new_rows_leave_the_old_ones_where_they_were() -> None:
    source = random.Random(1)
    texts = [text(source) for _ in range(400)]
    before, after = places(rows(texts[:200])), places(rows(texts))
    assert all(after[digest] == part for digest, part in before.items())


def test_the_parts_are_as_large_as_asked() -> None:
    source = random.Random(2)
    counts = Counter(places(rows([text(source, 12) for _ in range(3000)])).values())
    assert counts["train"] == pytest.approx(2400, abs=90)
    assert counts["test"] == pytest.approx(300, abs=60)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_near_duplicates_never_straddle(seed: int) -> None:
    source = random.Random(seed)
    texts, family = [], []
    for n in range(60):
        original = [source.choice(WORDS) for _ in range(150)]
        for copy in range(3):
            words = list(original)
            words[source.randrange(150)] = f"new{copy}"
            texts.append(" ".join(words).upper() if copy == 2 else ", ".join(words))
            family.append(n)
    found = rows(texts)
    parts = parted(found, (0.5, 0.25, 0.25), 0.8)
    place = {row.number: name for name in ("train", "validation", "test") for row in getattr(parts, name)}
    for n in range(60):
        assert len({place[3 * n + k + 1] for k in range(3)}) == 1
    assert (parts.exact, parts.near) == (0, 120)
    assert len(set(groups([row.values for row in found], 0.8))) == 60  # and no others were joined


def test_wording_that_most_rows_share_joins_nothing() -> None:
    source = random.Random(3)
    frame = " ".join(f"frame{n}" for n in range(200))
    values = [{"instruction": frame, "output": text(source, 15)} for _ in range(100)]
    assert len(set(groups(values, 0.8))) == 100


def test_the_overlap_decides_what_is_a_near_duplicate() -> None:
    source = random.Random(6)
    values = []
    for _ in range(30):  # pairs that share 75 of 125 runs
        shared_words, ends = text(source, 104), (text(source, 25), text(source, 25))
        values += [{"text": f"{shared_words} {end}"} for end in ends]
    assert len(set(groups(values, 0.8))) == 60
    assert len(set(groups(values, 0.5))) < 45  # found by chance at this overlap, and then joined


def test_ten_thousand_rows_take_seconds() -> None:
    source = random.Random(4)
    values = [{"text": text(source, 100)} for _ in range(10_000)]
    start = time.process_time()
    assert len(set(groups(values, 0.8))) == 10_000
    assert time.process_time() - start < 20  # about 3 on one core


def test_short_and_unspaced_texts_are_told_apart() -> None:
    assert len(set(groups([{"t": "yes"}, {"t": "no"}, {"t": "Yes!"}, {"t": "そうです"}, {"t": "違います"}], 0.8))) == 4


def test_too_few_or_equal_rows_are_refused() -> None:
    with pytest.raises(UserError, match=r"f.jsonl: all 3 rows are the same"):
        parted(rows(["a"] * 3), (0.8, 0.1, 0.1), 0.8)
    with pytest.raises(UserError, match=r"f.jsonl: 2 distinct rows are too few to split into 3 parts"):
        parted(rows(["a", "b"]), (0.8, 0.1, 0.1), 0.8)
    assert len(parted(rows(["a", "b"]), (1, 0, 0), 0.8).train) == 2


def test_own_files_are_compared_by_content() -> None:
    train, same, other = rows(["a", "b"]), rows(["b", "a", "a"]), rows(["b", "c"])
    with pytest.raises(UserError, match=r"data.validation holds the same rows as data.train"):
        refuse_equal(train, same, "validation")
    refuse_equal(train, other, "validation")
    assert (shared(train, same, 0.8), shared(train, other, 0.8)) == ((3, 0), (1, 0))
    assert shared(train, rows(["B!", "c"]), 0.8) == (0, 1)


def test_a_limit_takes_the_same_rows_in_any_order() -> None:
    found = rows([f"text {n}" for n in range(50)])
    few = limited(found, 10)
    assert len(few) == 10 and [row.number for row in few] == sorted(row.number for row in few)
    assert {row.digest for row in limited(found[::-1], 10)} == {row.digest for row in few}
    assert limited(found, 50) == limited(found, None) == found
    assert len(set(places(few, (0.5, 0.25, 0.25)).values())) == 3
