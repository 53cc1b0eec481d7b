"""Whole runs on tiny bases: what they leave, that equal recipes give equal runs, and how they end."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.rows import PLAIN, write_labelled, write_rows
from tests.test_recipe import RECIPES
from tunesmith import Recipe, RunFailed, UserError, read_recipe, run
from tunesmith.core.errors import Interrupted
from tunesmith.core.files import sha256
from tunesmith.report.document import RunResult
from tunesmith.show import Show

SMALL: dict[str, Any] = {
    "train": {"max_steps": 3, "threads": 1, "precision": "float32", "learning_rate": 0.01, "evaluate_every": 2},
    "evaluate": {"enabled": False},
}


@pytest.fixture
def rows(tmp_path: Path) -> str:
    return str(write_labelled(tmp_path / "rows.jsonl", random.Random(0), 40))


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def show(said: list[str]) -> Show:
    return Show(said.append)


def test_equal_recipes_give_equal_runs(
    tiny_folder: Callable[[str], Path], rows: str, tmp_path: Path, show: Show, said: list[str]
) -> None:
    base = str(tiny_folder("gpt2"))
    recipe = Recipe(base=base, data=rows, output=str(tmp_path / "a"), **SMALL)
    first = run(recipe, show)
    assert first.status == "ok" and first.proof and all(first.proof.values())
    assert first == RunResult.read(tmp_path / "a") and set(said) < set(first.notes)
    assert first.artifact is not None and first.artifact.sha256 == sha256(tmp_path / "a" / first.artifact.path)
    assert first.train is not None and (first.train.steps, first.train.examples) == (3, 24)
    second = run(recipe.model_copy(update={"output": str(tmp_path / "b")}), Show(said.append))
    assert second.artifact == first.artifact
    for name in ("metrics.jsonl", "data.json", "adapter/adapter_config.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert not list(tmp_path.rglob("*.tmp-*"))


def test_a_finished_run_is_told_again_and_not_trained_again(
    tiny_folder: Callable[[str], Path], rows: str, tmp_path: Path, show: Show, said: list[str]
) -> None:
    recipe = Recipe(base=str(tiny_folder("llama")), data=rows, output=str(tmp_path / "a"), method="full", **SMALL)
    first = run(recipe, show)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*") if path.name != "run.lock"}
    assert run(recipe, Show(said.append)) == first and "finished" in said[-1]
    assert written == {path: path.stat().st_mtime_ns for path in written}
    with pytest.raises(UserError, match="holds a run of another recipe"):
        run(recipe.model_copy(update={"base": "other"}), Show(said.append))


def test_a_run_that_diverges_has_failed_and_says_where(
    tiny_folder: Callable[[str], Path], rows: str, tmp_path: Path, show: Show
) -> None:
    values = SMALL | {"train": SMALL["train"] | {"max_steps": 40, "learning_rate": 10, "clip": None}}
    values["train"] |= {"schedule": "constant", "warmup": 0}
    recipe = Recipe(base=str(tiny_folder("llama")), data=rows, output=str(tmp_path / "a"), method="full", **values)
    with pytest.raises(RunFailed, match="step") as failure:
        run(recipe, show)
    written = RunResult.read(tmp_path / "a")
    assert written.status == "failed" and written.message == str(failure.value) and written.artifact is None


def test_an_interrupted_run_goes_on_to_the_same_bytes(
    tiny_folder: Callable[[str], Path], rows: str, tmp_path: Path, show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(base=str(tiny_folder("llama")), data=rows, output=str(tmp_path / "a"), **SMALL)

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Show, "proof", stop)  # after training, before anything is measured
        with pytest.raises(Interrupted, match="same command"):
            run(recipe, show)
    assert json.loads((tmp_path / "a" / "result.json").read_text())["status"] == "interrupted"
    adapter = sha256(tmp_path / "a" / "adapter" / "adapter_model.safetensors")
    result = run(recipe, show)
    assert result.status == "ok" and result.artifact is not None and result.artifact.sha256 == adapter


def test_a_mistake_leaves_no_folder(tiny_folder: Callable[[str], Path], rows: str, tmp_path: Path, show: Show) -> None:
    recipe = Recipe(base=str(tiny_folder("llama")), data=rows, output=str(tmp_path / "a"), method={"targets": ["qq"]})
    with pytest.raises(UserError, match=r"method\.targets"):
        run(recipe, show)
    assert not (tmp_path / "a").exists()


def test_a_mistake_in_a_run_that_began_keeps_it(
    tiny_folder: Callable[[str], Path], rows: str, tmp_path: Path, show: Show
) -> None:
    recipe = Recipe(base=str(tiny_folder("llama")), data=rows, output=str(tmp_path / "a"), **SMALL)
    run(recipe, show)
    (tmp_path / "a" / "result.json").unlink()
    Path(rows).write_text("broken\n")
    with pytest.raises(UserError, match="broken JSON"):
        run(recipe, show)
    assert RunResult.read(tmp_path / "a").status == "failed"
    assert (tmp_path / "a" / "adapter").is_dir() and list((tmp_path / "a" / "checkpoints").glob("step-*"))


@pytest.mark.parametrize("path", [p for p in RECIPES if "emoji" not in p.stem], ids=lambda path: path.stem)
def test_the_recipes_train_two_steps_on_a_tiny_base(
    path: Path, tiny_folder: Callable[[str], Path], rows: str, tmp_path: Path, show: Show
) -> None:
    words = [*PLAIN, f"data={rows}", "train.max_steps=2", f"output={tmp_path / 'a'}"]
    result = run(read_recipe(path, words, base=str(tiny_folder("llama"))), show)
    assert result.status == "ok" and result.train is not None and result.train.steps == 2
    assert result.evaluation is not None and set(result.evaluation.difference) >= {"loss", "accuracy", "macro_f1"}


def test_the_recipe_of_pictures_trains_two_steps_on_the_base_that_ships(tmp_path: Path, show: Show) -> None:
    (path,) = [p for p in RECIPES if "emoji" in p.stem]
    short = ["train.max_steps=2", "evaluate.prompts=[a zwx cat]", "evaluate.pictures=1", f"output={tmp_path / 'a'}"]
    result = run(read_recipe(path, short), show)
    assert result.status == "ok" and result.train is not None and result.train.steps == 2
    assert result.proof and all(result.proof.values())


def test_plain_text_without_a_chat_template(
    tiny_folder: Callable[[str], Path], tmp_path: Path, show: Show, said: list[str]
) -> None:
    draw = random.Random(0)
    texts = [{"text": " ".join(draw.choices(["mill", "river", "stone", "bread", "cat"], k=30))} for _ in range(30)]
    values = SMALL | {"evaluate": {"general": False, "answers": 2}}
    data = str(write_rows(tmp_path / "texts.jsonl", texts))
    result = run(Recipe(base=str(tiny_folder("gpt_neox")), data=data, output=str(tmp_path / "a"), **values), show)
    assert result.evaluation is not None and result.evaluation.after["loss"] < result.evaluation.before["loss"]
    assert any("30 rows of plain text" in line for line in said)
