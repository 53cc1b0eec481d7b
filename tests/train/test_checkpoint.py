import random
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch

from tests.train.tiny_run import FINGERPRINTS, Tiny, result, train
from tunesmith.core.errors import RunFailed, UserError
from tunesmith.train import checkpoint
from tunesmith.train.checkpoint import Checkpoints, Snapshot
from tunesmith.train.progress import Event, Progress


def snapshot(step: int, best_step: int | None = None) -> Snapshot:
    tensors = {"w": torch.full((3, 2), float(step))}
    return Snapshot(
        tensors, {"exp_avg/w": tensors["w"] * 2}, {"torch": torch.get_rng_state()}, Progress(step, best_step=best_step)
    )


@pytest.fixture
def made(tmp_path: Path) -> Checkpoints:
    checkpoints = Checkpoints(tmp_path / "checkpoints", FINGERPRINTS)
    checkpoints.prepare(100)
    for step in (10, 20, 30):
        checkpoints.save(snapshot(step))
    return checkpoints


def test_the_newest_are_kept_and_read_back(made: Checkpoints) -> None:
    assert made.steps() == [20, 30]
    assert made.newest() == (30, [])
    loaded = made.load(30)
    assert loaded.progress == Progress(30)
    assert torch.equal(loaded.trainable["w"], torch.full((3, 2), 30.0))
    assert torch.equal(loaded.optimizer["exp_avg/w"], torch.full((3, 2), 60.0))
    names = {"trainable.safetensors", "optimizer.safetensors", "rng.safetensors", "state.json", "MANIFEST.json"}
    assert {p.name for p in made.path(30).iterdir()} == names


def test_the_best_of_each_that_is_kept_is_kept_too(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, FINGERPRINTS)
    for step, best in [(10, 10), (20, 10), (30, 10), (40, 40), (50, 40)]:
        checkpoints.save(snapshot(step, best))
        assert checkpoints.newest() == (step, [])
    assert checkpoints.steps() == [40, 50]
    checkpoints.save(snapshot(60, 40))
    checkpoints.save(snapshot(70, 40))
    assert checkpoints.steps() == [40, 60, 70]
    checkpoints.save(snapshot(80, 80))
    assert checkpoints.steps() == [40, 70, 80]  # 70 can be gone back to only with 40


def test_a_checkpoint_without_its_best_weights_is_not_used(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, FINGERPRINTS)
    for step, best in [(10, 10), (20, 20), (30, 20)]:
        checkpoints.save(snapshot(step, best))
    (checkpoints.path(20) / "trainable.safetensors").write_bytes(b"")
    assert checkpoints.newest()[0] is None
    with pytest.raises(RunFailed, match="same command"):
        checkpoints.weights(20)


def test_each_damage_is_found_before_use(made: Checkpoints) -> None:
    """200 flipped bits and 50 shorter files, anywhere in the newest checkpoint."""
    dice = random.Random(4)
    paths = sorted(made.path(30).iterdir())
    for turn in range(250):
        path = dice.choice(paths)
        good = path.read_bytes()
        bad = bytearray(good)
        place = dice.randrange(len(good))
        if turn < 200:
            bad[place] ^= 1 << dice.randrange(8)
        else:
            del bad[place:]
        path.write_bytes(bad)
        step, refused = made.newest()
        assert step == 20 and len(refused) == 1 and str(path) in refused[0]
        path.write_bytes(good)
    assert made.newest() == (30, [])


@pytest.mark.parametrize("lost", ["newest", "all", "best"])
def test_a_run_goes_back_past_what_is_damaged_and_says_so(tmp_path: Path, lost: str) -> None:
    torch.set_num_threads(1)
    train(tmp_path / "whole")

    class Cut(Exception):  # noqa: N818
        pass

    def until(event: Event) -> None:
        if event.kind == "saved" and event.step == 9:
            raise Cut

    folder = tmp_path / "cut"
    with pytest.raises(Cut):
        train(folder, on_event=until)
    steps = Checkpoints(folder / "checkpoints", FINGERPRINTS).steps()
    assert steps == [4, 6, 9]
    for step in {"newest": [9], "all": steps, "best": [4]}[lost]:
        path = folder / f"checkpoints/step-{step:06d}/optimizer.safetensors"
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    events: list[Event] = []
    train(folder, on_event=events.append)
    origin = 6 if lost == "newest" else 0
    assert events[0].kind == "fallback" and "optimizer.safetensors" in events[0].message
    assert f"step {origin}" in events[0].message or "the start" in events[0].message
    assert next(e.step for e in events if e.kind == "step") == origin + 1
    assert result(folder) == result(tmp_path / "whole")


def test_a_checkpoint_that_reads_back_wrong_deletes_nothing(made: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    def lie(folder: Path) -> None:
        raise checkpoint.Damaged(f"{folder}: bad")

    monkeypatch.setattr(checkpoint, "verify_folder", lie)
    with pytest.raises(RunFailed, match="do not trust this disk"):
        made.save(snapshot(40))
    assert made.steps() == [20, 30, 40]


def test_too_little_room_is_told_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    parameters = sum(p.numel() for p in Tiny().parameters() if p.requires_grad)
    needed = int(parameters * 12 * 2.2)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, needed - 1))
    with pytest.raises(UserError, match=f"{needed - 1} bytes are free, but checkpoints need {needed}"):
        train(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, needed + 1))
    train(tmp_path, steps=1)


def test_what_a_killed_process_left_is_cleared(made: Checkpoints) -> None:
    (made.folder / "step-000040.tmp-0123abcd").mkdir()
    made.prepare(100)
    assert {p.name for p in made.folder.iterdir()} == {"step-000020", "step-000030"}


def test_a_folder_that_is_read_only_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="choose a folder"):
        Checkpoints(tmp_path / "file" / "checkpoints", {}).prepare(1)
