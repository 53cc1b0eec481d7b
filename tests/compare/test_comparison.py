"""A whole comparison on a tiny base: stopped after its first run, gone on with, and what it leaves."""

import json
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.rows import PLAIN, write_labelled
from tunesmith.cli import main
from tunesmith.compare import course
from tunesmith.compare.__main__ import JOBS
from tunesmith.compare.asked import asked
from tunesmith.compare.comparison import compare
from tunesmith.core.errors import Interrupted, UserError
from tunesmith.environment import of_child
from tunesmith.recipe import read_values
from tunesmith.report.comparison import Comparison

FolderOf = Callable[[str], Path]
ROW = {
    "method", "trainable", "total", "peak_memory_bytes", "seconds_per_step", "tokens_per_second", "stored_bytes",
    "quality", "forgetting", "latency",
}  # fmt: skip
VALUE = {"metric", "mean", "low", "high"}
LORA = {"lora": {"train": {"learning_rate": 0.01}}}


@pytest.fixture
def values(tiny_folder: FolderOf, tmp_path: Path) -> dict[str, Any]:
    data = write_labelled(tmp_path / "rows.jsonl", random.Random(0), 80)
    words = [*PLAIN, "evaluate.general=true", "train.max_steps=8", "train.batch_size=4", "data.split=[0.5,0.2,0.3]"]
    return read_values(None, words, base=str(tiny_folder("llama")), data=str(data), output=str(tmp_path / "compared"))


def silent(line: str) -> None:
    pass


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The jobs that were called; they are done in this process, which spares the start of one for each."""
    jobs: list[str] = []

    def call(job: str, **given: Any) -> dict[str, Any]:
        jobs.append(job)
        if "stop" in jobs and job == "train":
            raise Interrupted("stopped")
        found: dict[str, Any] = json.loads(json.dumps(JOBS[job](json.loads(json.dumps(given)))))
        return found

    monkeypatch.setattr(course, "call", call)
    return jobs


def test_stopped_after_the_first_run_and_gone_on_with(
    values: dict[str, Any], tmp_path: Path, called: list[str]
) -> None:
    wanted = asked(values, ["lora", "full"], LORA, seeds=2)
    folder = tmp_path / "compared"

    def stopping(line: str) -> None:
        if "steps took" in line:  # the first run has ended
            called.append("stop")

    with pytest.raises(Interrupted):
        compare(wanted, stopping)
    assert called == ["base", "probe", "probe", "train", "stop", "train"]
    assert (folder / "runs/lora/seed-0/result.json").is_file() and not (folder / "compare.json").exists()
    adapter = folder / "runs/lora/seed-0/adapter/adapter_model.safetensors"
    before = adapter.stat().st_mtime_ns

    called.clear()
    found = compare(wanted, silent)
    assert called == ["train"] * 3 + ["latency"] * 2, "what was done is not done again"
    assert adapter.stat().st_mtime_ns == before
    document = json.loads((folder / "compare.json").read_text())
    assert document == found.document() and Comparison.read(folder) == found
    assert not list(folder.rglob("checkpoints/step-*")), "what a finished run no longer needs is not kept"
    check_document(document)
    check_details(found)

    called.clear()
    assert compare(wanted, silent).document() == document and not called, "all is there"


def check_document(document: dict[str, Any]) -> None:
    assert set(document) == {"rows", "recommendation"} and document["recommendation"]
    assert [row["method"] for row in document["rows"]] == ["lora", "full"]
    for row in document["rows"]:
        assert set(row) == ROW and set(row["quality"]) == set(row["forgetting"]) == VALUE
        assert set(row["latency"]) == {"off", "on", "merged"} and all(t > 0 for t in row["latency"].values())
        assert row["quality"]["metric"] == "accuracy" and row["forgetting"]["metric"] == "general_perplexity"
        assert 0 <= row["quality"]["low"] <= row["quality"]["mean"] <= row["quality"]["high"] <= 1
        assert row["peak_memory_bytes"] > 1e8 and row["seconds_per_step"] > 0 and row["tokens_per_second"] > 0
    lora, full = document["rows"]
    assert lora["trainable"] < full["trainable"] == full["total"] < lora["total"]
    assert lora["stored_bytes"] < full["stored_bytes"]


def check_details(found: Comparison) -> None:
    details = found.details
    assert (details.steps, details.examples, details.seeds) == (8, 32, [0, 1])
    assert details.rates["lora"].value == 0.01 and details.rates["lora"].tried is None
    assert details.rates["full"].tried is not None and len(details.rates["full"].tried) == 6
    assert set(details.quality_between) == set(details.forgetting_between) == {"lora", "full"}
    one, other = details.quality_between["lora"]["full"], details.quality_between["full"]["lora"]
    assert one == details.against_full("lora") and one.mean == -other.mean and details.against_full("full") is None
    assert set(details.against_base) == {"lora", "full"}
    assert details.best_cost and details.best_forgetting


def test_what_is_refused_what_was_cut_and_a_curve(
    values: dict[str, Any], tmp_path: Path, called: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    values["evaluate"]["general"] = False
    monkeypatch.setattr(course, "fitted", lambda wanted, *_: course.Schedule(1, 5, True, said=("to fit: cut",)))
    own = LORA | {"rslora": {"method": {"targets": ["q_porj"]}}, "full": {"method": {"rnk": 3}}}
    found = compare(asked(values, [], own, seeds=2, budget=600.0, learning_curve=True), silent)
    assert called == ["base", "probe", "probe", "train", "train", "train", "latency"]
    lora, rslora, full = found.document()["rows"]
    assert set(lora) == ROW | {"data_needed"} and lora["forgetting"] is None
    assert set(rslora) == set(full) == ROW | {"refused"} and rslora["quality"] is None
    assert "`q_porj` matches no layer" in rslora["refused"] and "method.rnk: not a field of Full" in full["refused"]
    assert "rslora was not compared" in found.recommendation and "one seed" in found.recommendation

    assert [one["share"] for one in lora["data_needed"]] == [0.1, 0.3, 1.0]
    assert lora["data_needed"][-1]["quality"] == lora["quality"]
    part, whole = (
        json.loads((tmp_path / "compared" / place / "data.json").read_text())["parts"]
        for place in ("curve/lora/share-30", "runs/lora/seed-0")
    )
    assert part["train"]["rows"] == round(0.3 * whole["train"]["rows"]) and part["test"] == whole["test"]
    assert found.details.said == ["to fit: cut"] and "5 of 8 steps" in found.recommendation
    page = (tmp_path / "compared/compare.html").read_text()
    assert "q_porj" in page and page.count("<svg") == 1 and "Data needed" in page


def test_when_every_method_is_refused_the_table_says_why(
    values: dict[str, Any], tmp_path: Path, called: list[str]
) -> None:
    found = compare(asked(values, [], {"full": {"method": {"rnk": 3}}}), silent)
    (row,) = found.document()["rows"]
    assert "rnk" in row["refused"] and found.recommendation.startswith("No method could be trained")
    assert "rnk" in (tmp_path / "compared/compare.html").read_text()


def test_signals_end_it_cleanly_and_it_says_how_to_go_on(values: dict[str, Any], tmp_path: Path) -> None:
    words = [
        "compare",
        "--base",
        values["base"],
        "--data",
        values["data"]["train"],
        "--methods",
        "lora",
        "--seeds",
        "1",
    ]
    words += [*PLAIN, "train.max_steps=100000", "--output", str(tmp_path / "compared"), "--json"]
    command = [sys.executable, "-m", "tunesmith", *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=of_child())
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("training "):
            process.send_signal(signal.SIGINT)
            break
    out, err = process.communicate(timeout=200)
    assert process.returncode == 3 and out == ""
    assert err.splitlines()[-1].startswith("tunesmith: stopped; to go on: tunesmith compare --base")
    result = json.loads((tmp_path / "compared/runs/lora/seed-0/result.json").read_text())
    assert result["status"] == "interrupted"


def test_a_mistake_that_concerns_all_leaves_no_folder(
    values: dict[str, Any], tmp_path: Path, called: list[str]
) -> None:
    values["data"]["split"] = [0.8, 0.2, 0.0]
    with pytest.raises(UserError, match="needs test rows"):
        compare(asked(values, ["lora"], {}), silent)
    assert not (tmp_path / "compared").exists()


def test_an_unknown_method_is_refused_before_anything_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--data", "nowhere.jsonl", "--methods", "lora,dorra"]) == 2
    said = capsys.readouterr().err
    assert "`dorra` is no method; did you mean `dora`" in said and said.count("\n") == 1
