"""A plan comes from the real parts of a run, says what then happens, warns, and leaves nothing behind."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.rows import PLAIN, write_labelled
from tunesmith import plan as planning
from tunesmith.cli import main
from tunesmith.cli.plan import lines
from tunesmith.core.errors import RunFailed, UserError
from tunesmith.plan import Plan, plan
from tunesmith.recipe import Recipe, read_recipe
from tunesmith.rehearsal.measured import STAGES, Measured
from tunesmith.rehearsal.medium import MEMORY, TIME
from tunesmith.show import Show

FolderOf = Callable[[str], Path]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_labelled(tmp_path / "rows.jsonl", random.Random(0), 60)


def in_a_fresh_process(*words: object) -> dict[str, Any]:
    command = [sys.executable, "-c", "import sys; from tunesmith.cli import main; sys.exit(main())", *map(str, words)]
    paths = os.pathsep.join([str(Path(planning.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env={**os.environ, "PYTHONPATH": paths})
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("method", ["lora", "full"])
def test_what_is_said_is_what_then_happens(
    method: str, tiny_folder: FolderOf, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = data.parent / "run"
    words = ["--base", str(tiny_folder("llama")), "--data", str(data), "--method", method, "--output", str(output)]
    words += [*PLAIN, "evaluate.answers=2", "train.max_steps=5", "train.learning_rate=0.01", "--json"]
    assert main(["plan", *words]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [path.name for path in data.parent.iterdir()] == [data.name], "nothing is left, nothing begun"
    assert set(said["parts"]["seconds"]) == set(TIME) - {"probe", "reference", "rollouts"}
    assert set(said["parts"]["memory_bytes"]) == set(STAGES) == set(MEMORY)
    assert said["seconds"] == pytest.approx(sum(said["parts"]["seconds"].values()))
    assert all(seconds > 0 for seconds in said["parts"]["seconds"].values())
    assert said["warnings"] == []

    result = in_a_fresh_process("train", *words)
    assert said["steps"] == result["train"]["steps"]
    assert said["tokens"] == result["train"]["tokens"]
    assert said["memory_bytes"] == pytest.approx(result["train"]["peak_memory_bytes"], rel=0.1)
    left = {name: sum(f.stat().st_size for f in (output / name).rglob("*.safetensors")) for name in os.listdir(output)}
    assert said["parts"]["disk_bytes"]["artifact"] == result["artifact"]["bytes"]
    assert left["checkpoints"] <= said["parts"]["disk_bytes"]["checkpoints"] < 4 * left["checkpoints"]


def test_what_the_run_would_refuse_is_refused_with_the_same_line(tiny_folder: FolderOf, data: Path) -> None:
    with data.open("a") as file:
        file.write('{"text": "no label"}\n')
    recipe = read_recipe(None, PLAIN, base=str(tiny_folder("llama")), data=str(data), output=str(data.parent / "run"))
    with pytest.raises(UserError, match=r"rows\.jsonl.*61"):
        plan(recipe, Show(lambda line: None))
    assert [path.name for path in data.parent.iterdir()] == [data.name]


@pytest.mark.parametrize(
    "objective", [{"kind": "grpo"}, {"kind": "ppo", "updates": 3}], ids=lambda given: given["kind"]
)
def test_answers_that_are_to_be_written_are_planned(
    objective: dict[str, Any], tiny_folder: FolderOf, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"prompt": f"say {i}", "answer": str(i)}) + "\n" for i in range(60)))
    output = tmp_path / "run"
    words = [f"objective.{key}={value}" for key, value in objective.items()]
    words += ["objective.reward=length:1-9", "objective.answers=4", "objective.answer_tokens=24", "train.batch_size=4"]
    words += ["--base", str(tiny_folder("llama")), "--data", str(rows), "--output", str(output)]
    words += [*PLAIN, "evaluate.answers=2", "train.max_steps=7", "--json"]
    assert main(["plan", *words]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [path.name for path in tmp_path.iterdir()] == [rows.name], "nothing is left, nothing begun"
    assert said["steps"] == 7 and said["parts"]["seconds"]["rollouts"] > 0 < said["parts"]["seconds"]["training"]
    assert said["seconds_at_most"] >= said["seconds"]
    asked = 7 * 4 * 4  # answers, of at least one and at most 24 tokens
    assert asked < said["tokens"] < asked * 24 + 7 * 4 * 60


MEASURED = Measured(
    steps=100,
    tokens=50_000,
    tokens_per_pass=2048,
    seconds={"opening": 10.0, "training": 50.0, "answers": 140.0},
    held={"load": 1_000, "training": 4_000, "evaluation": 4_050},
    beside=3_000,
    fresh=1_500,
    free=5_000,
    checkpoint=2_000_000,
    kept=3,
    artifact=500_000,
)


def made(recipe: Recipe, free_disk: int = 10**12, **changed: Any) -> Plan:
    return Plan(recipe, MEASURED.model_copy(update=changed), fetched=0, free_disk=free_disk)


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return read_recipe(None, data="rows.jsonl", output=str(tmp_path / "run"))


def test_sentences_name_what_dominates_and_what_helps(recipe: Recipe) -> None:
    time, memory, disk = made(recipe).sentences
    assert "answers takes 70%" in time and "evaluate.answers" in time
    assert "training" in memory and "train.tokens_per_pass" in memory, "the evaluation came hardly higher"
    assert "3 checkpoints" in disk
    held = {**MEASURED.held, "evaluation": 9_000}
    assert "evaluate.answers=0" in made(recipe, held=held).sentences[1]
    patient = read_recipe(None, ["train.patience=2"], data="rows.jsonl")
    assert "earlier" in made(patient).sentences[-1]


def test_how_long_answers_may_become_is_said(recipe: Recipe) -> None:
    seconds = {"opening": 10.0, "rollouts": 200.0, "training": 50.0}
    found = made(recipe, seconds=seconds, longest=850.0)
    assert found.longer == 600 and found.document()["seconds_at_most"] == 860
    assert "rollouts takes 77%" in found.sentences[0] and "objective.answers" in found.sentences[0]
    assert any("14 min" in line and "objective.answer_tokens" in line for line in found.sentences)


def test_too_little_memory_or_disk_is_a_warning(recipe: Recipe) -> None:
    assert made(recipe).warnings == []
    (memory,) = made(recipe, free=4_000).warnings
    assert memory.startswith("memory is not enough")
    (memory,) = made(recipe, beside=3_600).warnings
    assert "5.1 kB" in memory, "the second process of the proof counts"
    (disk,) = made(recipe, free_disk=1_000_000).warnings
    assert disk.startswith("disk is not enough") and "1.0 MB are free" in disk


def test_the_table_names_every_part(recipe: Recipe) -> None:
    table = "\n".join(lines(made(recipe)))
    for said in (
        "3 min 20 s",
        "100 steps of 500 tokens",
        "70.0 %",
        "3 of 2.0 MB at one time",
        "4.5 kB with the second",
    ):
        assert said in table
    assert json.loads(json.dumps(made(recipe).document()))["memory_bytes"] == 4_050


@pytest.mark.parametrize(
    ("script", "kind", "said"),
    [
        (
            'echo \'{"stage": "training"}\'; kill -9 $$',
            UserError,
            "does not fit this machine.*training.*tokens_per_pass",
        ),
        ('echo \'{"stage": "load"}\'; echo "Boom: broken" >&2; exit 1', RunFailed, "ended in load: Boom: broken"),
        ("echo '{\"memory\": 7000}'", UserError, "peak of 7.0 kB"),
        ('echo \'{"failed": "not a number"}\'', RunFailed, "not a number"),
    ],
)
def test_a_rehearsal_that_dies_is_explained(
    script: str, kind: type[Exception], said: str, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/bash\ncat > /dev/null\n{script}\n")
    python.chmod(0o700)
    monkeypatch.setattr(planning.sys, "executable", str(python))
    with pytest.raises(kind, match=said):
        plan(recipe, Show(lambda line: None))
    assert [path.name for path in tmp_path.iterdir()] == ["python"]
