"""A rank and a number of epochs of `auto`: what is chosen, told and kept, and that the run is the one with numbers."""

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.rows import write_labelled
from tunesmith import Recipe, UserError, run
from tunesmith.compare.asked import asked
from tunesmith.plan import plan
from tunesmith.probing.epochs import sample, turned
from tunesmith.probing.ranks import ranks_around
from tunesmith.proof import Check
from tunesmith.show import Show

FolderOf = Callable[[str], Path]
TRAIN: dict[str, Any] = {"threads": 1, "precision": "float32", "learning_rate": 0.01, "batch_size": 8}


def quiet(line: str) -> None:
    pass


@pytest.fixture
def recipe(tiny_folder: FolderOf, tmp_path: Path) -> Recipe:
    data = str(write_labelled(tmp_path / "rows.jsonl", random.Random(0), 60))
    return Recipe(
        base=str(tiny_folder("llama")),
        data=data,
        method={"kind": "lora", "rank": "auto"},
        train=TRAIN | {"epochs": "auto", "max_steps": 9},
        evaluate={"enabled": False},
        output=str(tmp_path / "auto"),
    )


def test_both_are_found_told_and_leave_no_trace(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Check(True, "a fresh process is another test's")
    monkeypatch.setattr("tunesmith.proof.file_equals_memory", lambda *_, **__: held)
    said: list[str] = []
    result = run(recipe, Show(said.append))
    rank, epochs = result.chosen["method.rank"], result.chosen["train.epochs"]
    assert rank.tried is not None and [one.value for one in rank.tried] == [0, 4, 8, 16, 32]
    assert rank.value in (4, 8, 16, 32) and "4 ranks tried for 4 steps each" in rank.reason, "64 is wider than a layer"
    assert epochs.tried is not None and epochs.tried[0].value == 0 and 1 <= epochs.value <= 8
    assert re.search(r"\d epochs of all 4\d training rows at a constant rate", epochs.reason)
    assert any(line.startswith("rank 16: validation loss") for line in said)
    assert any(line.startswith("epochs 1: validation loss") for line in said)
    page = (tmp_path / "auto" / "report.html").read_text()
    assert "What was tried for method.rank" in page and "What was tried for train.epochs" in page
    losses = [one.loss for one in epochs.tried if one.loss is not None]
    assert losses[int(epochs.value)] <= min(losses) + 0.02 * (losses[0] - min(losses)) + 1e-9

    values = recipe.model_dump() | {"output": str(tmp_path / "number")}
    values["method"]["rank"], values["train"]["epochs"] = rank.value, epochs.value
    assert run(Recipe(**values), Show(quiet)).artifact == result.artifact, "trials leave no trace in the run"

    assert run(recipe, Show(quiet)).chosen == result.chosen, "and are not made again"


@pytest.mark.parametrize("key", ["method.rank", "train.epochs"])
def test_without_validation_rows_they_are_refused(recipe: Recipe, key: str) -> None:
    values = recipe.model_dump()
    values["data"]["split"] = [0.8, 0.0, 0.2]
    values["method"]["rank"] = "auto" if key == "method.rank" else 8
    values["train"]["epochs"] = "auto" if key == "train.epochs" else 1
    with pytest.raises(UserError, match=rf"^{key}: auto compares .* on validation rows"):
        run(Recipe(**values), Show(quiet))


def test_the_plan_counts_them_and_says_what_it_is_for(recipe: Recipe) -> None:
    said: list[str] = []
    planned = plan(recipe, Show(said.append))
    assert planned.measured.seconds["probe"] > 0
    assert any(line.startswith("method.rank: trials will find it") for line in said)


def test_a_comparison_asks_for_numbers(recipe: Recipe) -> None:
    with pytest.raises(UserError, match=r"method\.rank: auto is for a single run"):
        asked({"data": "rows.jsonl", "method": {"kind": "lora", "rank": "auto"}}, ["full"], {})


@pytest.mark.parametrize("rank", [0, 4097, 2.5, True, "many"])
def test_what_is_no_rank(recipe: Recipe, rank: object) -> None:
    with pytest.raises(UserError, match=r"method\.rank: must be a whole number from 1 to 4096, or auto"):
        Recipe(data="rows.jsonl", method={"kind": "lora", "rank": rank})


@pytest.mark.parametrize("given", [{"method": {"rank": "auto"}}, {"train": {"epochs": "auto"}}])
def test_nothing_is_tried_on_rows_that_are_promised_privacy(given: dict[str, Any]) -> None:
    train = {"privacy": {"noise_multiplier": 1.0}} | given.get("train", {})
    with pytest.raises(UserError, match="auto trains on the rows before the privacy counts; give a number"):
        Recipe(data="rows.jsonl", **{**given, "train": train})


def test_epochs_end_when_the_loss_has_turned() -> None:
    assert not turned([2.0, 1.0, 1.5])
    assert turned([2.0, 1.0, 1.5, 1.4]) and not turned([2.0, 1.0, 1.5, 0.9])


def test_a_sample_is_spread_over_all_rows() -> None:
    rows = list(range(1000))
    some = sample(rows, 8)  # type: ignore[arg-type]
    assert len(some) == 64 and some[0] == 0 and some[-1] > 980  # type: ignore[comparison-overlap, operator]
    assert sample(rows[:20], 8) == rows[:20]  # type: ignore[arg-type, comparison-overlap]


def test_ranks_are_whole_and_differ() -> None:
    assert ranks_around(16) == (4, 8, 16, 32, 64) and ranks_around(1) == (1, 2, 4)
