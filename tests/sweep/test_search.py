"""A whole sweep on a tiny base: stopped after its first trial, gone on with, pruned, and what it leaves."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.rows import PLAIN, write_labelled
from tunesmith.core.errors import Interrupted, UserError
from tunesmith.recipe import make_recipe, read_recipe, read_values
from tunesmith.report.sweep import Sweep
from tunesmith.sweep.asked import asked
from tunesmith.sweep.search import sweep
from tunesmith.sweep.study import NAME, Study

FolderOf = Callable[[str], Path]
SPACE = ["train.learning_rate=[0.000001,0.01]", "method.rank=[2,4]"]


@pytest.fixture
def values(tiny_folder: FolderOf, tmp_path: Path) -> dict[str, Any]:
    data = write_labelled(tmp_path / "rows.jsonl", random.Random(0), 80)
    words = [*PLAIN, "train.max_steps=8", "train.batch_size=4", "data.split=[0.5,0.2,0.3]", "evaluate.answers=0"]
    return read_values(None, words, base=str(tiny_folder("llama")), data=str(data), output=str(tmp_path / "searched"))


def quiet(line: str) -> None:
    pass


def test_stopped_after_the_first_trial_and_gone_on_with(
    values: dict[str, Any], tmp_path: Path, jobs: list[str]
) -> None:
    folder, wanted = tmp_path / "searched", asked(values, SPACE, trials=10)

    def stopping(line: str) -> None:
        if "validation loss" in line:
            jobs.append("stop")

    with pytest.raises(Interrupted, match="1 of 10 trials are done; give the same command to go on"):
        sweep(wanted, stopping)
    assert jobs == ["look", "trial", "stop", "trial"]
    assert len(Study(folder / NAME, wanted.dimensions, 0).running) == 1 and not (folder / "sweep.json").exists()

    jobs.clear()
    said: list[str] = []
    found = sweep(wanted, said.append)
    assert jobs == ["trial"] * 3 + ["test"], "what was done is not done again, and what was begun goes on"
    assert any("every combination has been tried: 4 trials" in line for line in said)
    check_what_is_left(folder, found)

    jobs.clear()
    assert sweep(wanted, quiet).best == found.best and not jobs, "all is there"
    with pytest.raises(UserError, match="holds a sweep with another `space`"):
        sweep(asked(values, SPACE[:1]), quiet)


def check_what_is_left(folder: Path, found: Sweep) -> None:
    assert Sweep.read(folder) == found and (folder / "sweep.html").is_file()
    assert len(found.trials) == 4 and all(t.ending == "finished" and len(t.validations) == 4 for t in found.trials)
    assert found.best.values["train.learning_rate"] == 0.01, "a rate that learns nothing does not win"
    assert found.best.result == min(t.result for t in found.trials if t.result is not None)
    assert found.evaluation is not None and found.tested == 1 and found.evaluation.n
    for trial in found.trials:
        place = folder / "trials" / f"{trial.number:04d}"
        assert (place / "adapter").is_dir() == (trial.number == found.best.trial)
        assert (place / "evaluation.json").exists() == (trial.number == found.best.trial), "no trial sees test rows"
    best = read_recipe(folder / "best.yaml")
    assert best.method.rank == found.best.values["method.rank"]  # type: ignore[union-attr]
    assert best.evaluate.enabled and best.output is None
    trial_recipe = make_recipe(yaml.safe_load((folder / found.best.run / "recipe.yaml").read_text()))
    assert trial_recipe.train == best.train and not trial_recipe.evaluate.enabled


def test_more_trials_are_welcome_and_a_second_winner_is_counted(
    values: dict[str, Any], tmp_path: Path, jobs: list[str]
) -> None:
    space = ["train.learning_rate=log(1e-6,1e-1)"]
    first = sweep(asked(values, space, trials=1), quiet)
    assert first.tested == 1 and first.importance is None
    more = sweep(asked(values, space, trials=3), quiet)
    assert len(more.trials) == 3 and jobs.count("trial") == 3 and more.tested == jobs.count("test")


def test_what_fails_in_every_trial_is_said_in_one_line(values: dict[str, Any], tmp_path: Path, jobs: list[str]) -> None:
    with pytest.raises(UserError, match=r"no trial could be finished; the last one: method\.rank: 3\d\d is larger"):
        sweep(asked(values, ["method.rank=linear(300,390)"], trials=9), quiet)
    assert jobs.count("trial") == 3


def test_too_little_time_and_no_rows_to_judge_by(values: dict[str, Any], tmp_path: Path, jobs: list[str]) -> None:
    wanted = asked(values, SPACE, time=0.0)
    with pytest.raises(UserError, match=r"--time: 0\.0 s was not enough for one trial"):
        sweep(wanted, quiet)
    values = {**values, "data": {**values["data"], "split": [0.7, 0.0, 0.3]}, "output": str(tmp_path / "none")}
    with pytest.raises(UserError, match="trials are judged on validation rows, and there are none"):
        sweep(asked(values, SPACE), quiet)
    assert not (tmp_path / "none").exists(), "a mistake leaves nothing behind"
