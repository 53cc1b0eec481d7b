import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.cli.rows import write_labelled, write_rows
from tests.suites.conftest import write_answers
from tunesmith.suites import kept

METRIC = {"base", "tuned", "difference", "low", "high", "p", "verdict", "n", "better"}
WORDS = ("better", "worse", "changed", "equivalent within", "no detectable difference")


@pytest.fixture
def run(told: Path, tmp_path: Path) -> Path:
    return shutil.copytree(told, tmp_path / "run")


def test_suites_that_need_no_download_end_in_one_document_and_one_page(tunesmith: Command, run: Path) -> None:
    names = ["task", "general", "calibration", "drift", "memorisation"]
    asked = [word for name in names for word in ("--suite", name)]
    said = tunesmith("evaluate", run, *asked, "--slice", "kind", "--limit", 12, "--json")
    assert said.status == 0, said.err
    found = json.loads(said.out)
    assert found == json.loads((run / "suites.json").read_text())
    assert set(found["suites"]) == {*names, "slices"}
    for suite in found["suites"].values():
        assert suite["items"] > 0 and suite["metrics"]
        for metric in suite["metrics"].values():
            assert set(metric) == METRIC
            assert metric["verdict"].startswith(WORDS)
            assert metric["tuned"] - metric["base"] == pytest.approx(metric["difference"], abs=1e-6)
            assert metric["low"] <= metric["difference"] <= metric["high"]
    assert found["run"]["artifact_sha256"] == json.loads((run / "result.json").read_text())["artifact"]["sha256"]
    page = (run / "suites.html").read_text()
    assert all(f"<h2>{name}</h2>" in page for name in found["suites"])
    assert "which show a change of" in said.err  # before anything was measured
    for path in (run / "suites.json", run / "suites.html", *run.glob("suites/*/*.jsonl")):
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_suite_goes_on_where_it_was_stopped(tunesmith: Command, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("evaluate", run, "--suite", "drift", "--json")
    whole = json.loads(tunesmith(*words).out)["suites"]["drift"]
    (path,) = run.glob("suites/drift/*.jsonl")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-3]) + lines[-3][:20])  # cut short in the middle of a line
    asked: list[int] = []
    real = kept.Kept.add
    monkeypatch.setattr(
        kept.Kept, "add", lambda self, some, pairs: (asked.append(len(some)), real(self, some, pairs))[1]
    )
    assert json.loads(tunesmith(*words).out)["suites"]["drift"] == whole
    assert sum(asked) == 3
    assert json.loads(tunesmith(*words).out)["suites"]["drift"] == whole and sum(asked) == 3


def test_of_another_artifact_nothing_is_kept(tunesmith: Command, run: Path) -> None:
    assert tunesmith("evaluate", run, "--suite", "task").status == 0
    found = json.loads((run / "suites.json").read_text())
    found["run"]["artifact_sha256"] = "0" * 64
    found["suites"]["bbq"] = found["suites"]["task"]
    (run / "suites.json").write_text(json.dumps(found))
    said = json.loads(tunesmith("evaluate", run, "--suite", "task", "--json").out)
    assert set(said["suites"]) == {"task"}


def test_other_rows_have_a_place_of_their_own(tunesmith: Command, run: Path, tmp_path: Path) -> None:
    rows = write_answers(tmp_path / "more.jsonl", random.Random(5), 14)
    said = tunesmith("evaluate", run, "--suite", "task", "--slice", "kind", "--data", rows, "--json")
    assert said.status == 0, said.err
    place = run / "evaluation" / "more"
    assert json.loads((place / "suites.json").read_text())["suites"]["slices"]["items"] == 14
    assert (place / "suites.html").is_file() and not (run / "suites.json").exists()
    write_answers(rows, random.Random(6), 16)  # the same name, other rows
    said = tunesmith("evaluate", run, "--suite", "task", "--data", rows, "--json")
    assert json.loads(said.out)["suites"]["task"]["items"] == 16


def test_canaries_are_exposed_and_rows_are_told_apart(tunesmith: Command, run: Path) -> None:
    found = json.loads(tunesmith("evaluate", run, "--suite", "memorisation", "--json").out)["suites"]["memorisation"]
    metrics = found["metrics"]
    assert metrics["auc"]["base"] == 0.5 and 0 <= metrics["auc"]["tuned"] <= 1
    assert 0 <= metrics["exposure"]["tuned"] <= 8 and metrics["exposure"]["n"] == 3
    assert [row["in the rows"] for row in found["tables"]["exposure of the canaries, in bits"]] == [1, 4, 16]
    assert {"extracted", "extracted/held-out", "epsilon_at_least"} <= set(metrics)
    assert any("1,000 are needed" in note for note in found["notes"])


def test_all_leaves_out_what_cannot_be_asked_and_says_why(
    tunesmith: Command, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "empty"))
    said = tunesmith("evaluate", run, "--suite", "all", "--limit", 6)
    assert said.status == 0, said.err
    for words in ("bases --get crows-pairs", "bases --get bbq", "bases --get do-not-answer", "slices: name a column"):
        assert words in said.err
    assert set(json.loads((run / "suites.json").read_text())["suites"]) == {
        "task", "general", "calibration", "drift", "memorisation", "occupations",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--suite", "memorization"], "did you mean `memorisation`"),
        (["--suite", "drift", "--limit", "0"], "--limit 0"),
        (["--limit", "3"], "--suite"),
        (["--suite", "task", "--margin", "2"], "--margin 2"),
        (["--suite", "slices"], "--slice"),
        (["--slice", "kin"], "did you mean `kind`"),
        (["--slice", "completion"], "values in"),
    ],
)
def test_what_cannot_be_asked_is_one_line(tunesmith: Command, run: Path, words: list[str], line: str) -> None:
    said = tunesmith("evaluate", run, *words)
    assert said.status == 2 and line in said.err.splitlines()[-1]
    assert not (run / "suites.json").exists()


def test_a_column_with_one_value_makes_no_slices(tunesmith: Command, run: Path, tmp_path: Path) -> None:
    rows = write_rows(
        tmp_path / "one.jsonl", ({"prompt": f"Ask {i}", "completion": "a b", "kind": "x"} for i in range(9))
    )
    said = tunesmith("evaluate", run, "--slice", "kind", "--data", rows)
    assert said.status == 2 and "every test row has the value `x`" in said.err


def test_questions_that_are_not_here_are_named_with_the_command(
    tunesmith: Command, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "empty"))
    said = tunesmith("evaluate", run, "--suite", "bbq")
    assert said.status == 2 and "tunesmith bases --get bbq" in said.err


def test_rows_of_another_kind_are_refused(tunesmith: Command, run: Path, tmp_path: Path) -> None:
    rows = write_labelled(tmp_path / "labelled.jsonl", random.Random(3), 20)
    said = tunesmith("evaluate", run, "--suite", "task", "--data", rows)
    assert said.status == 2 and "labelled.jsonl" in said.err


def test_labels_and_a_whole_model(tunesmith: Command, trained_whole: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained_whole, tmp_path / "run")
    said = tunesmith("evaluate", run, "--suite", "calibration", "--suite", "general", "--limit", 4, "--json")
    assert said.status == 0, said.err
    found = json.loads(said.out)["suites"]
    assert 0 <= found["calibration"]["metrics"]["ece"]["base"] <= 1
    general = found["general"]
    assert general["metrics"]["kl/general"]["tuned"] > 0
    blocks = {row["layer"]: row["change"] for row in general["tables"]["weight change by layer"]}
    assert {"block 1", "block 2"} <= set(blocks) and all(change > 0 for change in blocks.values())


def test_a_head_has_its_own_suites(
    tunesmith: Command, labelled: Path, tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    run = tmp_path / "head"
    small = ("train.max_steps=4", "train.threads=1", "train.precision=float32")
    assert tunesmith("train", "--base", tiny_folder("llama"), "--data", labelled, "--output", run, "--objective",
                     "classify", *small).status == 0  # fmt: skip
    said = tunesmith("evaluate", run, "--suite", "all", "--slice", "label", "--json")
    assert said.status == 0, said.err
    assert set(json.loads(said.out)["suites"]) == {"task", "slices", "calibration"}
    said = tunesmith("evaluate", run, "--suite", "drift")
    assert said.status == 2 and "writes none" in said.err


def test_the_papers_and_the_gate_know_what_the_suites_found(tunesmith: Command, run: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("rules: {occupations.stereotype_preferred: {rise_at_most: 100 points}}")
    before = tunesmith("gate", run, "--policy", policy)
    assert before.status == 2 and "--suite occupations` measures it" in before.out
    assert tunesmith("evaluate", run, "--suite", "occupations", "--limit", 24).status == 0
    assert "occupations.stereotype_preferred" in (run / "MODEL_CARD.md").read_text()
    assert "occupations.stereotype_preferred" in (run / "bom.json").read_text()
    assert "<h2>occupations</h2>" in (run / "suites.html").read_text()
    said = tunesmith("gate", run, "--policy", policy)
    assert said.status == 0 and "PASS, 1 of 1 rules hold" in said.out
    policy.write_text("rules: {occupations.stereotype_preferred: {at_most: 0.0001}}")
    assert tunesmith("gate", run, "--policy", policy).status == 1
