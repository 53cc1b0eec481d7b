import json
import sys
from pathlib import Path

import pytest
import torch

from tunesmith.core.errors import UserError
from tunesmith.train.metrics import Metrics, peak_memory, timings


def lines(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_of_steps_that_come_again_are_cut_off(tmp_path: Path) -> None:
    with Metrics(tmp_path, step=0, size=0) as metrics:
        metrics.write({"step": 1, "loss": 2.0})
        metrics.time({"step": 1, "seconds": 0.5})
        size = metrics.sync()
        metrics.write({"step": 1, "validation_loss": 3.0})
        metrics.write({"step": 2, "loss": 1.0})
        metrics.time({"step": 2, "seconds": 0.5})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "lo')  # a kill in the middle of a line
    with (tmp_path / "timing.jsonl").open("a") as file:
        file.write('{"step": 3, "se')
    with Metrics(tmp_path, step=1, size=size) as metrics:
        metrics.write({"step": 2, "loss": 1.5})
    assert lines(tmp_path / "metrics.jsonl") == [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.5}]
    assert timings(tmp_path) == [{"step": 1, "seconds": 0.5}]


def test_a_folder_without_times_has_none(tmp_path: Path) -> None:
    assert timings(tmp_path) == []


def test_tensorboard_that_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match=r"train\.tensorboard: .*pip install"):
        Metrics(tmp_path, step=0, size=0, tensorboard=True)


def test_the_peak_is_in_bytes() -> None:
    torch.ones(1)
    assert 50e6 < peak_memory(torch.device("cpu")) < 500e9
