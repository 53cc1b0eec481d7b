"""A plan of a run on pictures says what then happens, and leaves nothing behind."""

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.painters import tiny_pipeline
from tests.test_plan import in_a_fresh_process
from tunesmith.cli import main
from tunesmith.rehearsal.measured import PAINTING
from tunesmith.rehearsal.medium import PICTURE_MEMORY, PICTURE_TIME

OBJECTIVE = ["objective.kind=dreambooth", "objective.prompt=a zwx ball", "objective.class_prompt=a ball"]
QUICK = ["train.precision=float32", "train.threads=1", "train.batch_size=4", "evaluate.picture_steps=2"]


@pytest.fixture
def balls(tmp_path: Path) -> Path:
    folder = tmp_path / "balls"
    folder.mkdir()
    for place, colour in enumerate(["red", "green", "blue", "yellow", "purple", "orange"]):
        Image.new("RGB", (20, 16 if place % 2 else 20), colour).save(folder / f"{place}.png")
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_what_is_said_is_what_then_happens(balls: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, output = tiny_pipeline("sd", balls.parent / "base"), balls.parent / "run"
    words = ["--base", str(base), "--data", str(balls), "--output", str(output), *OBJECTIVE, *QUICK]
    words += ["train.max_steps=5", "evaluate.pictures_every=2", "data.buckets=false", "--json"]
    assert main(["plan", *words]) == 0
    said = json.loads(capsys.readouterr().out)
    assert sorted(path.name for path in balls.parent.iterdir()) == ["balls", "base", "cache"]
    assert not (cache / "latents").exists(), "what a rehearsal encodes is no latent for a run"
    assert set(said["parts"]["seconds"]) == set(PICTURE_TIME)
    assert set(said["parts"]["memory_bytes"]) == set(PAINTING) == set(PICTURE_MEMORY)
    assert all(seconds > 0 for seconds in said["parts"]["seconds"].values()) and said["warnings"] == []

    result = in_a_fresh_process("train", *words)
    assert said["steps"] == result["train"]["steps"] and said["tokens"] == result["train"]["tokens"]
    assert said["memory_bytes"] == pytest.approx(result["train"]["peak_memory_bytes"], rel=0.1)
    artifact = sum(file.stat().st_size for file in (output / "adapter").rglob("*") if file.is_file())
    assert said["parts"]["disk_bytes"]["artifact"] == artifact
    assert len(list((output / "samples").glob("*.png"))) == 4
