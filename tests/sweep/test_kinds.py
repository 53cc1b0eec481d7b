"""Sweeps over other things than words: pairs ranked by right pairs, labels by a head, pictures by their loss."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.rows import PLAIN, write_labelled, write_rows
from tests.painters import tiny_pipeline
from tests.pictures.drawn import folder_of
from tunesmith.recipe import read_values
from tunesmith.report.sweep import Sweep
from tunesmith.sweep.asked import asked
from tunesmith.sweep.search import sweep

FolderOf = Callable[[str], Path]
SHORT = ("train.max_steps=4", "train.batch_size=4", "train.threads=1", "train.precision=float32")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))


def searched(words: list[str], space: list[str], **given: Any) -> Sweep:
    return sweep(asked(read_values(None, words, **given), space, trials=2), lambda line: None)


def test_pairs_are_ranked_by_right_pairs(tiny_folder: FolderOf, tmp_path: Path, jobs: list[str]) -> None:
    draw = random.Random(0)
    rows = [{"prompt": f"Say {draw.random()}", "chosen": f"Y{i}", "rejected": f"no {i}"} for i in range(60)]
    data = write_rows(tmp_path / "pairs.jsonl", rows)
    words = [*PLAIN, *SHORT, "evaluate.enabled=false", "train.learning_rate=0.01"]
    given = {"base": str(tiny_folder("llama")), "data": str(data), "output": str(tmp_path / "out"), "objective": "dpo"}
    found = searched(words, ["objective.beta=[0.1,0.5]"], **given)
    assert found.metric == "accuracy" and found.higher_is_better and 0 <= found.best.result <= 1
    assert found.best.result == max(t.result for t in found.trials if t.result is not None)
    assert jobs == ["look", "trial", "trial"] and any("not measured" in note for note in found.notes)


def test_a_head_is_tuned_alike(tiny_folder: FolderOf, tmp_path: Path, jobs: list[str]) -> None:
    data = write_labelled(tmp_path / "rows.jsonl", random.Random(0), 60)
    given = {"base": str(tiny_folder("llama")), "data": str(data), "output": str(tmp_path / "out")}
    found = searched([*PLAIN, *SHORT], ["method.rank=[2,4]"], **given, objective="classify")
    assert found.metric == "loss" and found.evaluation is not None and "accuracy" in found.evaluation.after


def test_pictures_end_with_the_recipe(tmp_path: Path, jobs: list[str]) -> None:
    base, data = tiny_pipeline("sd", tmp_path / "sd"), folder_of(tmp_path / "pictures", 10, size=(20, 20))
    given = {"base": str(base), "data": str(data), "output": str(tmp_path / "out"), "objective": "denoise"}
    found = searched(list(SHORT), ["train.learning_rate=[0.0001,0.01]"], **given)
    assert found.evaluation is None and len(found.finished) == 2 and jobs == ["look", "trial", "trial"]
    assert (tmp_path / "out" / "best.yaml").is_file()
    lines = (tmp_path / "out" / found.best.run / "metrics.jsonl").read_text().splitlines()
    kept = min(json.loads(line).get("validation_loss", 99.0) for line in lines)
    assert found.best.result == kept
