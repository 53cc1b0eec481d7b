import json
import math
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from tests.train.tiny_run import CONFIG, FINGERPRINTS, STEPS, WORLD, Tiny, Wide, noisy, result, stream, train
from tunesmith.core.batch import TokenBatch
from tunesmith.core.errors import UserError
from tunesmith.core.files import commit_folder
from tunesmith.core.loss import Loss
from tunesmith.train.checkpoint import Checkpoints
from tunesmith.train.config import Train
from tunesmith.train.loop import fit
from tunesmith.train.progress import Event
from tunesmith.train.step import NotFinite


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Cut(Exception):  # noqa: N818 - the power is cut
    pass


def until(step: int):
    """An `on_event` that ends the process, as far as the run can tell, after the checkpoint of `step`."""

    def watch(event: Event) -> None:
        if event.kind == "saved" and event.step >= step:
            raise Cut

    return watch


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("whole")
    train(folder)
    return folder


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was cut after step 9."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("half")
    with pytest.raises(Cut):
        train(folder, on_event=until(9))
    return folder


@pytest.fixture
def cut(half: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(half, tmp_path / "run"))


def test_a_resumed_run_is_the_same_to_the_byte(cut: Path, whole: Path) -> None:
    events: list[Event] = []
    again = train(cut, on_event=events.append)
    assert result(cut) == result(whole)
    assert [e.kind for e in events][:2] == ["resumed", "step"] and events[1].step == 10
    assert (again.steps, again.examples) == (STEPS, 52)
    lines = [json.loads(line) for line in (cut / "timing.jsonl").read_text().splitlines()]
    assert sorted(line["step"] for line in lines if "seconds" in line) == list(range(1, STEPS + 1))
    assert again.seconds == pytest.approx(sum(line.get("seconds", 0) for line in lines))


def test_a_resumed_run_with_moments_in_8_bits_is_the_same_to_the_byte(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"optimizer": "adamw8bit"})
    train(tmp_path / "whole", Wide(), config=config)
    with pytest.raises(Cut):
        train(tmp_path / "cut", Wide(), config=config, on_event=until(9))
    train(tmp_path / "cut", Wide(), config=config)
    assert result(tmp_path / "cut") == result(tmp_path / "whole")
    state = load_file(max((tmp_path / "cut" / "checkpoints").glob("step-*")) / "optimizer.safetensors")
    assert state["state1/hidden.0.weight"].dtype == torch.uint8 and state["state1/head.weight"].dtype == torch.float32


def test_what_comes_before_the_call_does_not_matter(tmp_path: Path, whole: Path) -> None:
    model = Tiny()
    torch.rand(1000)
    train(tmp_path, model.eval())
    assert result(tmp_path) == result(whole)


def test_a_finished_run_gives_the_same_answer_again(whole: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    events: list[Event] = []
    fitted = train(folder, on_event=events.append)
    assert [e.kind for e in events] == ["resumed"]
    assert result(folder) == result(whole)
    assert fitted.steps == STEPS and fitted.tokens > fitted.trained_tokens > 0


# F10: a restore that forgets any one part must be seen.


def rewritten(folder: Path, part: str, name: str) -> None:
    """Lose one part of the state of the newest checkpoint; its hashes are made to fit."""
    newest = max((folder / "checkpoints").glob("step-*"))
    old = newest.rename(newest.with_name("old"))
    with commit_folder(newest, {"fingerprints": FINGERPRINTS}) as aside:
        for path in old.glob("*.*"):
            if path.name != "MANIFEST.json":
                shutil.copy(path, aside)
        if part == "state":
            state = json.loads((aside / "state.json").read_text())
            del state[name]
            (aside / "state.json").write_text(json.dumps(state))
            return
        tensors = load_file(aside / f"{part}.safetensors")
        fresh = {"rng": other_rng, "optimizer": torch.zeros_like, "trainable": torch.zeros_like}[part]
        changed = {k: fresh(v) if k.startswith(name) else v for k, v in tensors.items()}
        assert any(not torch.equal(changed[k], v) for k, v in tensors.items())
        save_file(changed, aside / f"{part}.safetensors")


def other_rng(old: torch.Tensor) -> torch.Tensor:
    torch.manual_seed(99)
    if old.numel() == len(torch.get_rng_state()):
        return torch.get_rng_state()
    kind, *rest = json.loads(bytes(old.tolist()))
    numbers = rest[0]
    numbers[0] = (numbers[0] + 1) % 2**32
    numbers[1:600] = numbers[2:601]
    return torch.frombuffer(bytearray(json.dumps([kind, *rest]).encode()), dtype=torch.uint8)


LOSSES = [
    *(("rng", name) for name in ("torch", "numpy", "python")),
    *(("optimizer", name) for name in ("exp_avg/", "exp_avg_sq/", "step/", "exp_avg/head.bias")),
    *(("trainable", name) for name in ("embed", "head.bias")),
    *(("state", name) for name in ("best", "best_step", "waiting", "evaluated", "examples", "tokens", "step")),
    *(("state", name) for name in ("trained_tokens", "metrics_bytes")),
]


@pytest.mark.parametrize(("part", "name"), LOSSES)
def test_each_part_of_the_state_matters(cut: Path, whole: Path, part: str, name: str) -> None:
    if name == "evaluated":  # it says whether the validation of the very step is done
        Checkpoints(cut / "checkpoints", FINGERPRINTS).forget_after(4)
    rewritten(cut, part, name)
    try:
        train(cut)
        same = result(cut) == result(whole)
    except (UserError, AssertionError):
        same = False
    assert not same


def test_the_size_that_fits_survives_a_resumption(tmp_path: Path) -> None:
    def short(model: nn.Module, batch: TokenBatch) -> Loss:
        if len(batch.lengths) > 1:
            raise MemoryError
        return noisy(model, batch)

    events: list[Event] = []

    def watch(event: Event) -> None:
        events.append(event)
        until(3)(event)

    straight: list[Event] = []
    train(tmp_path / "whole", objective=short, on_event=straight.append)
    with pytest.raises(Cut):
        train(tmp_path / "cut", objective=short, on_event=watch)
    assert "halved" in [e.kind for e in events]
    again: list[Event] = []
    train(tmp_path / "cut", objective=short, on_event=again.append)
    halved = [(e.step, e.message) for e in straight if e.kind == "halved" and e.step > 3]
    assert [(e.step, e.message) for e in again if e.kind == "halved"] == halved
    assert result(tmp_path / "cut") == result(tmp_path / "whole")


# What is best, and when to stop.


def scripted(losses: list[float]):
    left = iter(losses)
    return lambda model: {"loss": next(left), "accuracy": 0.5}


def test_the_best_weights_are_kept_and_loaded(tmp_path: Path) -> None:
    model = Tiny()
    fitted = train(tmp_path, model, evaluate=scripted([3.0, 1.0, 2.0, 1.5]))
    assert (fitted.best, fitted.best_step, fitted.steps, fitted.stopped_early) == (1.0, 8, STEPS, False)
    stored = load_file(tmp_path / "checkpoints/step-000008/trainable.safetensors")
    assert all(torch.equal(value, model.get_parameter(name)) for name, value in stored.items())
    last = load_file(tmp_path / "checkpoints/step-000014/trainable.safetensors")
    assert not torch.equal(last["head.bias"], stored["head.bias"])


def test_patience_ends_a_run_early_and_for_good(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"evaluate_every": 2, "patience": 2})
    fitted = train(tmp_path, config=config, evaluate=scripted([3.0, 1.0, 2.0, 1.5, 9.0, 9.0, 9.0]))
    assert (fitted.steps, fitted.best_step, fitted.stopped_early) == (8, 4, True)
    again = train(tmp_path, config=config, evaluate=scripted([]))
    assert (again.steps, again.best_step, again.stopped_early) == (8, 4, True)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["validation_loss"] for line in lines if "validation_loss" in line] == [3.0, 1.0, 2.0, 1.5]
    assert lines[-1] == {"step": 8, "epoch": 1.6, "validation_loss": 1.5, "validation_accuracy": 0.5}


def test_without_validation_the_last_weights_stay(tmp_path: Path) -> None:
    model = Tiny()
    arguments = {"steps": 5, "fingerprints": FINGERPRINTS, "config": CONFIG, "folder": tmp_path}
    fitted = fit(model, noisy, stream, world=WORLD, **arguments)  # type: ignore[arg-type]
    assert (fitted.best, fitted.steps) == (None, 5)
    last = load_file(fitted.checkpoint / "trainable.safetensors")
    assert all(torch.equal(value, model.get_parameter(name)) for name, value in last.items())
    with pytest.raises(UserError, match=r"train\.patience"):
        impatient = CONFIG.model_copy(update={"patience": 1})
        fit(Tiny(), noisy, stream, world=WORLD, **{**arguments, "config": impatient})  # type: ignore[arg-type]


def test_a_stop_before_a_validation_makes_it_up_later(tmp_path: Path, whole: Path) -> None:
    def interrupt(event: Event) -> None:
        if event.kind == "step" and event.step in (4, 14):
            os.kill(os.getpid(), signal.SIGTERM)

    first = train(tmp_path, on_event=interrupt)
    assert first.interrupted and first.steps == 4
    second = train(tmp_path, on_event=interrupt)
    assert second.interrupted and second.steps == STEPS
    third = train(tmp_path)
    assert not third.interrupted
    # The last checkpoint is older than the last validation, so its state.json is too; all else is equal.
    left, right = result(tmp_path), result(whole)
    assert {k for k in left if left[k] != right[k]} <= {"state.json"}


def test_a_run_outside_the_main_thread_works(tmp_path: Path, whole: Path) -> None:
    thread = threading.Thread(target=train, args=(tmp_path,))
    thread.start()
    thread.join()
    assert result(tmp_path) == result(whole)


# What stops a run.


def test_not_a_number_names_step_rows_and_checkpoint(tmp_path: Path) -> None:
    calls = iter(range(100))

    def poisoned(model: nn.Module, batch: TokenBatch) -> Loss:
        loss = noisy(model, batch)
        return Loss(loss.total * (math.nan if next(calls) >= 8 else 1))

    with pytest.raises(NotFinite, match=r"^step 5: the loss is nan in rows? [\d, ]+; .*last good: .*step-000004$"):
        train(tmp_path, objective=poisoned)
    state = Checkpoints(tmp_path / "checkpoints", FINGERPRINTS).load(4)
    assert all(bool(v.isfinite().all()) for v in state.trainable.values())
    assert not (tmp_path / "adapter.safetensors").exists()


def test_a_validation_that_is_not_a_number_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(NotFinite, match=r"step 8: the validation loss is nan; last good: .*step-000006"):
        train(tmp_path, evaluate=scripted([1.0, math.nan]))


@pytest.mark.parametrize("name", sorted(FINGERPRINTS))
def test_another_recipe_base_or_data_is_refused(cut: Path, name: str) -> None:
    before = sorted(p.name for p in cut.rglob("*"))
    with pytest.raises(UserError, match=f"another {name}"):
        train(cut, fingerprints={**FINGERPRINTS, name: "other"})
    assert sorted(p.name for p in cut.rglob("*")) == before


def test_lines_that_were_taken_out_of_the_metrics_are_missed(cut: Path) -> None:
    (cut / "metrics.jsonl").write_text("")
    with pytest.raises(UserError, match=r"metrics\.jsonl"):
        train(cut)


def test_a_parameter_that_newly_trains_is_seen(cut: Path) -> None:
    model = Tiny()
    model.frozen.requires_grad_(True)
    with pytest.raises(Exception, match="holds other parameters"):
        train(cut, model)


# The calendar.


def test_log_every_thins_the_metrics(tmp_path: Path) -> None:
    train(tmp_path, config=CONFIG.model_copy(update={"log_every": 5}))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [5, 10, 14]


def test_tensorboard_files_are_written_when_asked(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    train(tmp_path, config=CONFIG.model_copy(update={"tensorboard": True}), steps=2)
    assert list((tmp_path / "tensorboard").glob("events.*"))


def test_each_setting_changes_the_run(tmp_path: Path, whole: Path) -> None:
    others = {
        "learning_rate": 0.01,
        "schedule": "linear",
        "warmup": 0.5,
        "weight_decay": 0.5,
        "betas": (0.5, 0.9),
        "clip": 0.01,
        "seed": 2,
        "evaluate_every": 3,
    }
    for name, value in others.items():
        train(tmp_path / name, config=Train(**{**CONFIG.model_dump(), name: value}))
        assert (tmp_path / name / "metrics.jsonl").read_bytes() != (whole / "metrics.jsonl").read_bytes(), name
