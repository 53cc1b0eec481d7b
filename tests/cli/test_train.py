"""`tunesmith train`: what it prints, what it leaves, how it goes on after a signal."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.cli.rows import PLAIN

FAST = (*PLAIN, "train.max_steps=4", "evaluate.enabled=false")


def test_the_ending_names_what_changed_and_how_to_use_it(tunesmith: Command, trained: Path, labelled: Path) -> None:
    recipe = trained / "recipe.yaml"
    said = tunesmith("train", recipe)  # finished: shown again, nothing trained
    assert said.status == 0
    assert "this run is finished" in said.out and "Accuracy" in said.out and "better" in said.out
    for line in (f"report: {trained}/report.html", f"tunesmith chat {trained}", f"tunesmith merge {trained}"):
        assert line in said.out
    result = json.loads((trained / "result.json").read_text())
    assert result["status"] == "ok" and all(result["proof"].values())
    assert result["evaluation"]["difference"]["loss"]["high"] < 0


def test_json_is_alone_on_stdout(
    tunesmith: Command, tiny_folder: Callable[[str], Path], labelled: Path, tmp_path: Path
) -> None:
    said = tunesmith(
        "train", "--base", tiny_folder("gpt2"), "--data", labelled, "--output", tmp_path / "run", *FAST, "--json"
    )
    assert said.status == 0
    assert json.loads(said.out) == json.loads((tmp_path / "run" / "result.json").read_text())
    assert "proof: " in said.err
    assert not [line for line in said.err.splitlines() if "Warning" in line]


def test_a_recipe_and_overrides(tunesmith: Command, trained: Path, tmp_path: Path) -> None:
    said = tunesmith("train", trained / "recipe.yaml", "method.rank=4", *FAST, f"output={tmp_path / 'run'}", "--json")
    found = json.loads(said.out)
    assert said.status == 0 and found["train"]["steps"] == 4 and found["evaluation"] is None
    before = json.loads((trained / "result.json").read_text())
    assert 4 * found["parameters"]["trainable"] == before["parameters"]["trainable"]  # the default rank is 16


def test_another_recipe_in_a_finished_folder_is_refused(tunesmith: Command, trained: Path) -> None:
    said = tunesmith("train", trained / "recipe.yaml", "method.rank=4")
    assert said.status == 2
    assert "method.rank: 16 there, 4 here" in said.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_printed_command_goes_on(
    tiny_folder: Callable[[str], Path], labelled: Path, tmp_path: Path, number: int
) -> None:
    words = ["train", "--base", tiny_folder("llama"), "--data", labelled, "--output", tmp_path / "run", *FAST,
             "train.max_steps=4000", "train.checkpoint_every=1000000"]  # fmt: skip
    command = [sys.executable, "-m", "tunesmith", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    metrics = tmp_path / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not (metrics.exists() and metrics.read_bytes().count(b"\n") > 2) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 3
    last = errors.splitlines()[-1]
    assert last.startswith("tunesmith: stopped after step ") and "; to go on: tunesmith train " in last
    assert json.loads((tmp_path / "run" / "result.json").read_text())["status"] == "interrupted"
    assert list((tmp_path / "run" / "checkpoints").glob("step-*"))
