"""A base in one file trains, paints and is merged into one file; so is a full fine-tune."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.painters import tiny_pipeline
from tunesmith.cli.app import app
from tunesmith.recipe import Recipe
from tunesmith.run import run
from tunesmith.show import Show
from tunesmith.studio.checkpoint import write_checkpoint
from tunesmith.studio.painter import load_painter

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    for place, colour in enumerate(["red", "green"]):
        (tmp_path / "balls").mkdir(exist_ok=True)
        Image.new("RGB", (20, 20), colour).save(tmp_path / "balls" / f"{place}.png")
        (tmp_path / "balls" / f"{place}.txt").write_text(f"a {colour} ball")
    return write_checkpoint(tiny_pipeline("sd", tmp_path / "folder"), tmp_path / "base.safetensors")


def tuned(base: Path, method: str) -> Path:
    train = {"max_steps": 1, "precision": "float32", "threads": 1, "batch_size": 2, "learning_rate": 1e-2}
    asked: dict[str, Any] = {"train": train, "evaluate": {"pictures": 0}, "method": method}
    folder = base.with_name(method)
    result = run(Recipe(base=str(base), data=str(base.with_name("balls")), output=str(folder), **asked),
                 Show(lambda _: None))  # fmt: skip
    assert result.proof and all(result.proof.values())
    return folder


@pytest.mark.parametrize("method", ["lora", "full"])
def test_from_one_file_to_one_file(method: str, base: Path) -> None:
    folder = tuned(base, method)
    said = CliRunner().invoke(app, ["merge", str(folder), "--single-file"])
    assert said.exit_code == 0 and "one file for A1111" in said.output, said.output
    file = folder / "merged.safetensors"
    assert file.is_file() and not list(folder.glob(".merged*"))
    wanted = load_painter(str(folder)).paint("a red ball", [3])
    found = load_painter(str(file), print, precision="float32").paint("a red ball", [3])
    assert abs(found.astype(int) - wanted).max() <= 1
    again = CliRunner().invoke(app, ["merge", str(folder), "--single-file"])
    assert again.exit_code != 0 and "exists already" in str(again.exception or again.output)


def test_a_wrong_name_is_said(base: Path) -> None:
    said = CliRunner().invoke(app, ["merge", str(base.with_name("folder")), "model.ckpt", "--single-file"])
    assert said.exit_code != 0 and "ends in .safetensors" in str(said.exception or said.output)
