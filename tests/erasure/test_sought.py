import json
from pathlib import Path

import pytest

from tunesmith.core.errors import UserError
from tunesmith.data.rows import Row
from tunesmith.erasure.sought import sought

ROWS = [
    {"text": "Ann Lee was here", "label": "a"},
    {"text": "Annual leave", "label": "b"},
    {"text": "x", "label": "ann  LEE"},
]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def _held(asked: str) -> list[int]:
    return [i for i, row in enumerate(ROWS) if sought(asked).holds(Row("f", i, row))]


def test_a_row_by_hash_by_content_and_by_place(rows: Path) -> None:
    digest = Row("elsewhere", 9, ROWS[1]).digest
    for asked in (digest, '{"label": "b", "text": "Annual leave"}', f"{rows}:2"):
        assert sought(asked).digests == {digest} and _held(asked) == [1]


def test_words_are_whole_words_in_any_case_and_spacing() -> None:
    assert _held("Ann Lee") == [0, 2] and _held(" ann\tlee ") == [0, 2]
    assert _held("Ann") == [0, 2] and _held("annual") == [1] and _held("(Ann)") == []


@pytest.mark.parametrize("wrong", ["", "ab", "{", '{"a": 1, "a": 2}', "{}"])
def test_what_cannot_be_sought(wrong: str) -> None:
    with pytest.raises(UserError):
        sought(wrong)


def test_a_row_that_is_not_there(rows: Path) -> None:
    with pytest.raises(UserError, match=r"has no row 7; it has 3"):
        sought(f"{rows}:7")
