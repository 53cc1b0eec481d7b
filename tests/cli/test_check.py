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


def labels_of(count: int) -> list[dict[str, str]]:
    """Texts that a plain classifier can tell apart, three in four of them good."""
    draw = random.Random(0)
    good, bad = ("warm", "kind", "bright", "happy", "fresh"), ("cold", "rude", "dark", "sad", "stale")
    return [
        {"text": " ".join([*draw.choices(bad if i % 4 == 0 else good, k=4), *draw.choices(WORDS.split(), k=6), str(i)]),
         "label": "bad" if i % 4 == 0 else "good"}
        for i in range(count)
    ]  # fmt: skip


def test_fix_balances_drops_and_logs(tunesmith: Command, tmp_path: Path) -> None:
    rows = labels_of(40)
    rows[7]["text"] += " and write to ann@example.com now"
    data = write_rows(tmp_path / "rows.jsonl", [*rows, rows[5]])
    before, out = data.read_bytes(), tmp_path / "clean.jsonl"
    said = tunesmith("check", data, "--fix", out, "--balance", "--json")
    assert said.status == 0, said.err
    kept = [json.loads(line) for line in out.read_text().splitlines()]
    assert data.read_bytes() == before and json.loads(said.out)["fixed"]["rows"] == len(kept)
    assert sum(row["label"] == "bad" for row in kept) == sum(row["label"] == "good" for row in kept) == 10
    assert "ann@example.com" not in out.read_text()
    log = Path(json.loads(said.out)["fixed"]["log"]).read_text()
    assert log.count("\n") >= 21 and "ann@example.com" not in log and '"exact_duplicate"' in log
    assert tunesmith("check", data, "--balance").err.count("--fix OUT.jsonl") == 1


def test_fix_drops_a_kind_that_is_asked_for_and_keeps_another(tunesmith: Command, tmp_path: Path) -> None:
    rows = [{"prompt": f"question {i} about {i * 7919}", "completion": f"answer {i} " + WORDS} for i in range(20)]
    rows[4]["completion"] = "I'm sorry, but I can't help with that."
    data = write_rows(tmp_path / "rows.jsonl", [*rows, rows[2]])
    words = ("check", data, "--drop", "refused_answer", "--keep", "exact_duplicate", "--keep", "near_duplicate")
    assert tunesmith(*words, "--fix", tmp_path / "out.jsonl").status == 0
    kept = [json.loads(line)["prompt"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert rows[4]["prompt"] not in kept and kept.count(rows[2]["prompt"]) == 2
    said = tunesmith("check", data, "--drop", "refused_anser", "--fix", tmp_path / "more.jsonl")
    assert said.status == 2 and "refused_answer" in said.err and not (tmp_path / "more.jsonl").exists()


def test_against_an_evaluation_set_and_the_suites(tunesmith: Command, tmp_path: Path) -> None:
    from tunesmith.suites.occupations import questions

    long = "Which of the seven bridges over the river was built first and by whom in that year"
    rows = [{"prompt": f"question {i} about {i * 7919}", "completion": f"answer {i}"} for i in range(20)]
    rows[6]["completion"], rows[8]["completion"] = f"Well, {long}, I think.", questions()[0]
    data = write_rows(tmp_path / "rows.jsonl", rows)
    held = write_rows(tmp_path / "exam.jsonl", [{"question": long}])
    found = json.loads(tunesmith("check", data, "--against", held, "--json").out)["findings"]
    of = {one["against"]: one["rows"] for one in found if one["kind"] == "contamination"}
    assert of == {str(held): [7], "the suite occupations": [9]}
    said = tunesmith("check", data, "--against", tmp_path / "gone.jsonl")
    assert said.status == 2 and "gone.jsonl" in said.err


def test_curve_says_how_much_data_is_needed(tunesmith: Command, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "rows.jsonl", labels_of(160))
    curve = json.loads(tunesmith("check", data, "--curve", "--json").out)["facts"]["curve"]
    points = curve["points"]
    assert len(points) == 5 and points[-1]["rows"] > 4 * points[0]["rows"]
    assert points[-1]["accuracy"] > 0.9 >= points[0]["accuracy"] - 0.1 and 0.5 < curve["twice"] <= 1
    assert "data needed: a plain classifier reaches" in tunesmith("check", data, "--curve").out
    few = tunesmith("check", write_rows(tmp_path / "few.jsonl", labels_of(20)), "--curve")
    assert few.status == 2 and "at least 80 rows with labels" in few.err


def test_a_classifier_of_your_own_finds_toxic_rows(
    tunesmith: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    def score(texts: list[str]) -> list[dict[str, dict[str, float]]]:
        return [{"probabilities": {"non-toxic": 1 - t, "toxic": t}} for t in (float("rude" in x) for x in texts)]

    head = SimpleNamespace(labels=("non-toxic", "toxic"), problem="single_label_classification")
    known = SimpleNamespace(head=head, rewards_answers=False, score=score)
    monkeypatch.setattr("tunesmith.scorer.load_scorer", lambda folder: known)
    rows = labels_of(40)
    data = write_rows(tmp_path / "rows.jsonl", rows)
    (folder := tmp_path / "classifier").mkdir()
    found = json.loads(tunesmith("check", data, "--toxicity", folder, "--json").out)
    (toxic,) = (one for one in found["findings"] if one["kind"] == "toxic")
    assert toxic["rows"] == [i + 1 for i, row in enumerate(rows) if "rude" in row["text"]]
    assert str(folder) in found["facts"]["toxicity"]
    head.labels = ("a", "b")
    said = tunesmith("check", data, "--toxicity", folder)
    assert said.status == 2 and "which label" in said.err
    said = tunesmith("check", data, "--toxicity", f"{folder}:c")
    assert said.status == 2 and "no label `c`; it has a, b" in said.err
    said = tunesmith("check", data, "--toxicity", tmp_path / "gone")
    assert said.status == 2 and "no such folder" in said.err
