"""Commands on a finished run: evaluate, report, merge; and the catalogue."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.cli.rows import write_labelled
from tests.report.test_comparison import comparison
from tunesmith.export.adapter import FACTS


def test_measured_again_the_numbers_are_the_same(tunesmith: Command, trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    before = json.loads((run / "evaluation.json").read_text())
    for name in ("evaluation.json", "report.html"):
        (run / name).unlink()
    said = tunesmith("evaluate", run, "--json")
    assert said.status == 0
    assert json.loads(said.out) == before == json.loads((run / "evaluation.json").read_text())
    assert json.loads((run / "result.json").read_text())["evaluation"]["after"] == before["after"]
    assert (run / "report.html").is_file()


def test_other_rows_leave_the_evidence_of_the_run(tunesmith: Command, trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    rows = write_labelled(tmp_path / "more.jsonl", random.Random(9), 30)
    kept = (run / "evaluation.json").read_bytes()
    said = tunesmith("evaluate", run, "--data", rows)
    assert said.status == 0 and "Accuracy" in said.out
    assert json.loads((run / "evaluation" / "more" / "evaluation.json").read_text())["n"] == 30
    assert (run / "evaluation.json").read_bytes() == kept


def test_a_whole_model_is_measured_against_its_base(tunesmith: Command, trained_whole: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained_whole, tmp_path / "run")
    before = json.loads((run / "evaluation.json").read_text())
    assert json.loads(tunesmith("evaluate", run, "--json").out) == before
    assert before["before"]["loss"] != before["after"]["loss"]


def test_report_is_written_again(tunesmith: Command, trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    (run / "report.html").unlink()
    said = tunesmith("report", run)
    assert said.out == f"{run}/report.html\n" and "Before and after" in (run / "report.html").read_text()


def test_the_page_of_a_comparison_is_written_again(tunesmith: Command, tmp_path: Path) -> None:
    comparison().write(tmp_path)
    said = tunesmith("report", tmp_path)
    assert said.out == f"{tmp_path}/compare.html\n" and "Each against each" in (tmp_path / "compare.html").read_text()
    (tmp_path / "compare.yaml").write_text("methods: [lora]")
    (tmp_path / "compare.json").unlink()  # as while it is still running
    said = tunesmith("report", tmp_path)
    assert said.status == 2 and "tunesmith compare" in said.err


@pytest.mark.parametrize("command", ["report", "evaluate", "merge"])
def test_a_folder_that_is_no_run(tunesmith: Command, tmp_path: Path, command: str) -> None:
    said = tunesmith(command, tmp_path)
    assert said.status == 2 and str(tmp_path) in said.err
    assert list(tmp_path.iterdir()) == []


def test_merged_is_a_base_that_answers_as_the_run(tunesmith: Command, trained: Path, tmp_path: Path) -> None:
    said = tunesmith("merge", trained, tmp_path / "plain")
    assert said.status == 0 and "logits within" in said.out
    prompt = json.loads((trained / "examples.json").read_text())[0]["prompt"]
    answers = [tunesmith("generate", model, "--prompt", prompt).out for model in (trained, tmp_path / "plain")]
    assert answers[0] == answers[1]
    again = tunesmith("merge", trained, tmp_path / "plain")
    assert again.status == 2 and "exists already" in again.err


def test_an_adapter_alone_needs_to_know_its_base(
    tunesmith: Command, trained: Path, tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    adapter = shutil.copytree(trained / "adapter", tmp_path / "adapter")
    facts = json.loads((adapter / FACTS).read_text())
    facts["base"]["name"] = "gone"
    (adapter / FACTS).write_text(json.dumps(facts))
    said = tunesmith("merge", adapter, tmp_path / "other")
    assert said.status == 2 and "gone" in said.err and not (tmp_path / "other").exists()
    said = tunesmith("merge", adapter, tmp_path / "plain", "--dtype", "bfloat16", "--base", tiny_folder("llama"))
    assert said.status == 0 and "in bfloat16" in said.out
    said = tunesmith("merge", adapter, tmp_path / "third", "--base", tiny_folder("qwen2"))
    assert said.status == 2 and "another base" in said.err


def test_a_whole_model_needs_no_merge(tunesmith: Command, trained_whole: Path) -> None:
    said = tunesmith("merge", trained_whole)
    assert said.status == 0 and f"{trained_whole}/model" in said.out
    assert not (trained_whole / "merged").exists()


def test_bases_says_where_all_comes_from(tunesmith: Command) -> None:
    said = tunesmith("bases")
    assert said.status == 0
    for word in ("smollm2-135m", "drug-reviews", "Apache-2.0", "CC BY 4.0", "4-bit"):
        assert word in said.out
    listed = {one["name"]: one for one in json.loads(tunesmith("bases", "--json").out)}
    assert listed["smollm2-135m"]["download_bytes"] > 9e7 and listed["state-of-the-union"]["here"] is True


def test_bases_get(tunesmith: Command) -> None:
    said = tunesmith("bases", "--get", "state-of-the-union")
    assert said.status == 0 and Path(said.out.strip()).is_file() and "CC0-1.0" in said.err
    said = tunesmith("bases", "--get", "smolm2-135m")
    assert said.status == 2 and "did you mean `smollm2-135m`" in said.err
