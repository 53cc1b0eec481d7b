"""`tunesmith check`: facts, findings and tokens, without weights."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.cli.rows import write_labelled, write_rows

WORDS = "the quick brown fox jumps over the lazy dog and runs away from it"


@pytest.fixture
def base(tiny_folder: Callable[[str], Path]) -> Path:
    return tiny_folder("llama")


def test_shows_parts_lengths_labels_and_trained_tokens(tunesmith: Command, base: Path, labelled: Path) -> None:
    said = tunesmith("check", labelled, "--base", base, "--rows", "2")
    assert said.status == 0
    assert "80 rows of labelled text" in said.out and "nothing doubtful was found" in said.out
    assert "⟦trained⟧ is learned" in said.out
    assert said.out.count("<|im_start|>assistant\n⟦") == 2 and "<|im_end|>⟧" in said.out
    assert "\x1b[" not in said.out


def test_no_weights_are_loaded(tunesmith: Command, base: Path, labelled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("weights were loaded")

    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", refuse)
    assert tunesmith("check", labelled, "--base", base).status == 0


def test_json_findings_name_their_rows(tunesmith: Command, base: Path, tmp_path: Path) -> None:
    rows = [{"prompt": f"question {i} about {i * 7919}", "completion": f"answer {i}"} for i in range(20)]
    rows += [
        rows[2],
        rows[5],
        {"prompt": f"{WORDS} now", "completion": "b"},
        {"prompt": f"{WORDS} then", "completion": "b"},
    ]
    data = write_rows(tmp_path / "rows.jsonl", rows)
    test = write_rows(tmp_path / "test.jsonl", [rows[0], {"prompt": "new", "completion": "row"}])
    said = tunesmith("check", data, "--base", base, "--json", f"data.test={test}", "data.near_duplicates=0.6")
    found = json.loads(said.out)
    assert said.status == 0 and found["rows"] == 26
    kinds = {one["kind"]: one for one in found["findings"]}
    assert kinds["exact_duplicate"]["rows"] == [21, 22] and kinds["exact_duplicate"]["count"] == 2
    assert kinds["near_duplicate"]["rows"] == [24]
    assert kinds["overlap"]["count"] == 1 and kinds["overlap"]["file"] == str(test)
    assert found["facts"]["parts"]["test"]["rows"] == 2
    assert all(one["message"] for one in found["findings"])


@pytest.mark.parametrize(("how", "kind"), [("drop", "too_long"), ("truncate", "truncated")])
def test_rows_that_do_not_fit_are_named(tunesmith: Command, base: Path, tmp_path: Path, how: str, kind: str) -> None:
    data = write_labelled(tmp_path / "rows.jsonl", random.Random(1), 20)
    text = data.read_text().splitlines()
    text[6] = json.dumps({"text": "word " * 60, "label": "good"})
    data.write_text("\n".join(text))
    words = ["check", data, "--base", base, "data.max_length=140", f"data.too_long={how}"]
    (finding,) = json.loads(tunesmith(*words, "--json").out)["findings"]
    assert (finding["kind"], finding["rows"]) == (kind, [7])
    assert f"{kind.replace('_', ' ')}: 1 in {data} (row 7)" in tunesmith(*words).out


def test_reads_the_data_of_a_recipe(tunesmith: Command, trained: Path) -> None:
    assert "trained_tokens" in tunesmith("check", trained / "recipe.yaml", "--json").out


def test_two_files_are_refused(tunesmith: Command, trained: Path) -> None:
    said = tunesmith("check", trained / "recipe.yaml", "other.jsonl")
    assert said.status == 2 and "other.jsonl" in said.err
