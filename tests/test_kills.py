"""A whole run, killed at random moments and started again by the same command, ends as one that was never touched."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SLOW = [pytest.mark.slow, pytest.mark.timeout(1800)]
ROWS = {
    "sft": lambda i: {"text": f"number {i}", "label": "odd" if i % 2 else "even"},
    "kto": lambda i: {"prompt": f"number {i}", "chosen": "odd" if i % 2 else "even", "rejected": f"no {i}"},
}
"""By objective. KTO asks base and policy in its feed: what it was told before a kill must be told again."""


def _command(base: Path, rows: Path, output: Path, objective: str) -> list[str]:
    return [
        *(
            sys.executable,
            "-m",
            "tunesmith",
            "train",
            "--base",
            str(base),
            "--data",
            str(rows),
            "--output",
            str(output),
            "--objective",
            objective,
        ),
        *("train.threads=1", "train.precision=float32", "train.epochs=12", "train.checkpoint_every=3"),
        *("train.learning_rate=0.01", "train.evaluate_every=10", "method.dropout=0.1", "method.rank=4"),
        *("evaluate.answers=1", "evaluate.answer_tokens=4", "evaluate.general=false"),
    ]


def _whole(folder: Path) -> dict[str, bytes]:
    """What must be the same to the byte: adapter, metrics, and the state of the last checkpoint."""
    last = max((folder / "checkpoints").glob("step-*"))
    files = [folder / "adapter" / "adapter_model.safetensors", folder / "metrics.jsonl", folder / "evaluation.json"]
    files += [last / "trainable.safetensors", last / "optimizer.safetensors", last / "rng.safetensors"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def _steps(folder: Path) -> int:
    """How many steps a run has written down so far."""
    metrics = folder / "metrics.jsonl"
    return sum('"step"' in line for line in metrics.read_text().splitlines()) if metrics.exists() else 0


def _killed_run(command: list[str], folder: Path, kills: int, steps: int) -> int:
    """Run `command` until it ends by itself, killing it `kills` times before. -> how many kills hit a live process.

    The moment is drawn in steps of the run, then in milliseconds: it does not depend on how fast the machine is.
    """
    draw, hit = random.Random(kills), 0
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for _ in range(kills):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = _steps(folder) + draw.randint(0, steps // (kills + 1))
        while process.poll() is None and _steps(folder) < until:
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 0.1))
        hit += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return hit


@pytest.mark.parametrize("objective", ROWS)
@pytest.mark.parametrize("kills", [2, pytest.param(30, marks=SLOW)])
def test_a_killed_run_ends_as_one_that_was_not(kills, objective, tiny_folder, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("\n".join(json.dumps(ROWS[objective](i)) for i in range(80)))
    base = tiny_folder("llama")
    command = _command(base, rows, tmp_path / "calm", objective)
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    killed = tmp_path / "killed"
    hit = _killed_run(_command(base, rows, killed, objective), killed, kills, _steps(tmp_path / "calm"))
    assert hit >= (kills + 1) // 2
    calm, ended = _whole(tmp_path / "calm"), _whole(killed)
    assert calm.keys() == ended.keys()
    assert [name for name in calm if calm[name] != ended[name]] == []
