"""Runs of which only the files are there: what is found in them, deleted, and would be trained again."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tunesmith.core.errors import UserError
from tunesmith.data.index import FORGOTTEN, reminders, tombstones, write_index
from tunesmith.data.prepare import gather
from tunesmith.data.rows import fingerprint
from tunesmith.erasure.deletion import bury, delete
from tunesmith.erasure.retraining import place_of, recipe_without, refuse_moved
from tunesmith.erasure.sought import sought
from tunesmith.erasure.touched import look
from tunesmith.export.adapter import write_adapter
from tunesmith.recipe import Recipe
from tunesmith.report.document import Artifact, RunResult

ROWS = [
    {"text": f"a report of Mr Number{i} about the river {i * i} and its mills", "label": "ab"[i % 2]} for i in range(60)
]
DESCRIBED: dict[str, Any] = {"peft_type": "LORA", "r": 1, "lora_alpha": 1, "target_modules": ["q_proj"]}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def _adapter(folder: Path, value: float, made: dict[str, Any] | None = None) -> str:
    """-> the id of an adapter that was written there."""
    from tunesmith.combine.read import read

    layer = "model.layers.0.self_attn.q_proj"
    stored = {f"{layer}.lora_A.weight": torch.full((1, 4), value), f"{layer}.lora_B.weight": torch.ones(4, 1)}
    write_adapter(folder, stored, DESCRIBED, base_name="base", base_fingerprint="f", made=made)
    return read(folder).id


def _run(folder: Path, data: Path, *, index: bool = True, **train: Any) -> Recipe:
    """A run folder without a model, but with an adapter and the words of test rows."""
    recipe = Recipe(base="base", data=str(data), output=str(folder), train=train)
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(recipe.dumped())
    found = gather(recipe.data, False)
    (folder / "data.json").write_text(json.dumps({"files": {str(data): fingerprint(data)}}))
    if index:
        write_index(folder, found.digests)
    _adapter(folder / "adapter", 1.0 + len(folder.name))
    artifact = Artifact(path="adapter/adapter_model.safetensors", bytes=1, sha256="ab" * 32)
    RunResult(status="ok", base="base", method="lora", objective="sft", artifact=artifact).write(folder)
    for name in ("examples.json", "report.html"):
        (folder / name).write_text("words of test rows")
    return recipe


def _of(recipe: Recipe, part: str) -> tuple[int, str]:
    """-> the number and the hash of a row of a part."""
    row = gather(recipe.data, False).rows[part][0]
    return row.number, row.digest


def test_a_training_row_is_found_by_place_and_by_name(data: Path, tmp_path: Path) -> None:
    recipe = _run(tmp_path / "runs" / "a", data)
    number, digest = _of(recipe, "train")
    for asked in (f"{data}:{number}", f"mr number{number - 1}", digest):
        found = look(tmp_path / "runs", sought(asked))
        assert found.rows == {digest: f"{data}, row {number}"} and found.doubts == []
        (run,) = found.runs
        assert run.rows == {"train": [digest]} and run.learned and run.sha256 == "ab" * 32
    assert look(tmp_path / "runs", sought("f" * 64)).runs == []
    with pytest.raises(UserError, match="name it with --runs"):
        look(tmp_path / "nowhere", sought(digest))


def test_a_row_that_is_gone_from_the_file_is_still_known_by_its_hash(data: Path, tmp_path: Path) -> None:
    recipe = _run(tmp_path / "runs" / "a", data)
    number, digest = _of(recipe, "train")
    data.write_text("".join(json.dumps(row) + "\n" for i, row in enumerate(ROWS, 1) if i != number))
    found = look(tmp_path / "runs", sought(digest))
    assert found.rows == {} and found.runs[0].learned and found.doubts == []
    found = look(tmp_path / "runs", sought(f"Number{number - 1}"))  # words cannot be found in a file that lost them
    assert found.runs == [] and "has changed since" in found.doubts[0]


def test_runs_without_an_index(data: Path, tmp_path: Path) -> None:
    recipe = _run(tmp_path / "runs" / "old", data, index=False)
    _, digest = _of(recipe, "train")
    assert look(tmp_path / "runs", sought(digest)).runs[0].rows == {"train": [digest]}  # its files tell
    data.write_text(data.read_text() + json.dumps({"text": "one more", "label": "a"}) + "\n")
    found = look(tmp_path / "runs", sought(digest))
    assert found.runs == [] and "cannot be told" in found.doubts[0]
    (tmp_path / "runs" / "old" / "recipe.yaml").write_text("base: [")
    assert "not valid YAML" in look(tmp_path / "runs", sought(digest)).doubts[0]


def test_copies_and_combinations_are_found_over_several_steps(data: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    recipe = _run(runs / "a", data)
    copy = _adapter(runs / "copy", 2.0)  # as that of the run
    mix = _adapter(runs / "mix", 7.0, {"combined": [{"id": copy, "weight": 1.0}]})
    _adapter(runs / "mixed-mix", 8.0, {"combined": [{"id": mix, "weight": 1.0}]})
    _adapter(runs / "other", 9.0, {"combined": [{"id": "0" * 64, "weight": 1.0}]})
    found = look(runs, sought(_of(recipe, "train")[1]))
    assert {path.name for path in found.derived} == {"copy", "mix", "mixed-mix"}


def test_deletion_leaves_a_tombstone_without_the_data(data: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    recipe = _run(runs / "a", data)
    _run(runs / "b", data, seed=1)
    _adapter(runs / "copy", 2.0)
    number, digest = _of(recipe, "train")
    found = look(runs, sought(f"Number{number - 1}"))
    stone = bury(runs, found, reason="asked by letter", deleted=True, retrained={})
    delete(found)
    assert {path.name for path in runs.iterdir()} == {FORGOTTEN} and stone.stat().st_mode & 0o777 == 0o600
    assert data.read_text().count("\n") == 60  # the user's own file is as it was
    (told,) = tombstones(runs)
    assert told["rows"] == [digest] and told["reason"] == "asked by letter" and len(told["runs"]) == 2
    assert all(run["deleted"] for run in told["runs"])
    assert "Number" not in stone.read_text() and "river" not in stone.read_text()
    (said,) = reminders(runs, {"train": [digest]})
    assert "were forgotten on" in said and "data.exclude" in said
    assert list(reminders(runs, {"train": ["0" * 64]})) == []


def test_of_a_run_that_was_only_judged_the_words_go(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "a"
    _, digest = _of(_run(run, data), "test")
    found = look(tmp_path / "runs", sought(digest))
    assert not found.runs[0].learned
    delete(found)
    names = {path.name for path in run.iterdir()}
    assert {"adapter", "recipe.yaml", "result.json"} <= names and not {"examples.json", "report.html"} & names


@pytest.mark.parametrize("part", ["train", "validation", "test"])
@pytest.mark.parametrize("more", [{}, {"limit": 40}, {"share": 0.5}])
def test_without_a_row_no_other_moves(data: Path, tmp_path: Path, part: str, more: dict[str, Any]) -> None:
    twice = [*ROWS, {**ROWS[0], "text": ROWS[0]["text"] + " again"}]  # a near-duplicate, which follows its twin
    data.write_text("".join(json.dumps(row) + "\n" for row in twice))
    recipe = Recipe(base="base", data={"train": str(data), **more})
    before = gather(recipe.data, False).digests
    for digest in before[part][:5]:
        after = gather(recipe.data.model_copy(update={"exclude": (digest,)}), False)
        assert after.digests == {name: [d for d in some if d != digest] for name, some in before.items()}
        assert after.facts["excluded"] == 1 and any("1 rows are left out" in line for line in after.said)


def test_the_recipe_without_a_row(data: Path, tmp_path: Path) -> None:
    recipe = _run(tmp_path / "runs" / "a", data)
    number, digest = _of(recipe, "train")
    (run,) = look(tmp_path / "runs", sought(digest)).runs
    without = recipe_without(run)
    assert without.data.exclude == (digest,) and without.folder == place_of(run) != run.run
    assert without.train == recipe.train and without.fingerprint != recipe.fingerprint
    refuse_moved(run)
    data.write_text("".join(json.dumps(row) + "\n" for i, row in enumerate(ROWS, 1) if i not in (number, number + 1)))
    with pytest.raises(UserError, match="have changed, and other rows would move"):
        refuse_moved(run)


def test_a_wrong_hash_is_refused() -> None:
    with pytest.raises(UserError, match=r"data.exclude: `abc` is no sha256"):
        Recipe(data={"train": "x.jsonl", "exclude": ["abc"]})
