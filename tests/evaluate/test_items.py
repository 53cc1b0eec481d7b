"""What is written of every item reads back as the same."""

import json
from pathlib import Path

import pytest

from tunesmith.core.errors import UserError
from tunesmith.evaluate.before_after import Outcome
from tunesmith.evaluate.items import NAME, Measured, read_items, same_items, write_items


def measured(nll: float, predicted: str | None = "no") -> Measured:
    outcomes = [
        Outcome(3, nll, 2, predicted, "yes", "an answer", "yes"),
        Outcome(7, 2 * nll, 3, predicted, "no"),
    ]
    return Measured(outcomes, [(10 * nll, 12, 4), (11 * nll, 9, 5)], {0: "an answer"})


def test_both_sides_come_back(tmp_path: Path) -> None:
    base, tuned = measured(1.5), measured(0.25, "yes")
    write_items(tmp_path, {"base": base, "tuned": tuned})
    assert read_items(tmp_path, "base") == base and read_items(tmp_path, "tuned") == tuned
    lines = [json.loads(line) for line in (tmp_path / NAME).read_text().splitlines()]
    assert [line["part"] for line in lines] == ["test", "test", "general", "general"]
    assert lines[0]["gold"] == "yes" and lines[0]["tuned"]["predicted"] == "yes"
    assert lines[3] == {"part": "general", "row": 2, "tokens": 9, "base": {"nll": 16.5, "right": 5},
                        "tuned": {"nll": 2.75, "right": 5}}  # fmt: skip


def test_unlabelled_items_have_no_labels(tmp_path: Path) -> None:
    plain = Measured([Outcome(1, 2.0, 5)], [], {})
    write_items(tmp_path, {"base": plain})
    assert read_items(tmp_path, "base") == plain
    assert "gold" not in (tmp_path / NAME).read_text()


def test_words_of_the_user_are_written_only_where_answers_are_scored(tmp_path: Path) -> None:
    unscored = Measured([Outcome(1, 2.0, 5, reference="my secret")], [], {0: "a secret too"})
    write_items(tmp_path, {"base": unscored})
    assert "secret" not in (tmp_path / NAME).read_text()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"items\.jsonl: missing or damaged"):
        read_items(tmp_path, "base")
    write_items(tmp_path, {"base": measured(1.0)})
    with pytest.raises(UserError, match="tuned"):
        read_items(tmp_path, "tuned")


def test_the_same_items_are_known_by_what_was_asked() -> None:
    one, other = measured(1.0).outcomes, measured(2.0, "yes").outcomes
    assert same_items(one, other) and not same_items(one, other[::-1]) and not same_items(one, other[:1])
