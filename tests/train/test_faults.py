"""Runs that are killed, starved or signalled, then started again, must end the same to the byte."""

import errno
import json
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.train.tiny_run import FINGERPRINTS, result
from tunesmith.train.checkpoint import Checkpoints

ROOT = Path(__file__).parents[2]
MEMORY = Path("/dev/shm")  # where fsync costs nothing: the tests kill the process, not the machine
Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name:
        yield Path(name)


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.train.nursery"],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None

    def ask(folder: Path, **task: Any) -> dict[str, Any]:
        print(json.dumps({"folder": str(folder), **task}), file=process.stdin, flush=True)
        return json.loads(process.stdout.readline())

    yield ask
    process.stdin.close()
    process.wait(timeout=10)


@pytest.fixture(scope="module")
def expected(run: Run, folder: Path) -> dict[str, bytes]:
    assert run(folder / "whole")["status"] == 0
    assert run(folder / "again")["status"] == 0
    assert result(folder / "whole") == result(folder / "again")
    return result(folder / "whole")


def valid(folder: Path) -> int | None:
    return Checkpoints(folder / "checkpoints", FINGERPRINTS).newest()[0]


def kill_at_random(run: Run, folder: Path, expected: dict[str, bytes], wanted: int, slow: float) -> int:
    """-> how many kills hit. Whether one of them hits a save is chance; the next test stops at each change on disk."""
    dice, kills, rounds = random.Random(wanted), 0, 0
    while kills < wanted:
        rounds += 1
        place, status = folder / f"kill-{wanted}-{rounds}", -9
        while status != 0:
            # Slow steps make kills between saves as likely as kills inside them.
            status = run(place, signals=[[dice.uniform(0.0, 0.12), signal.SIGKILL]], slow=slow)["status"]
            assert status in (0, -signal.SIGKILL)
            kills += status != 0
        assert result(place) == expected
        assert not list(place.rglob("*.tmp-*"))
    return kills


def test_a_run_killed_at_any_moment_ends_the_same(run: Run, folder: Path, expected: dict[str, bytes]) -> None:
    assert kill_at_random(run, folder, expected, 40, 0.001) >= 30


@pytest.mark.slow
def test_300_kills(run: Run, folder: Path, expected: dict[str, bytes]) -> None:
    assert kill_at_random(run, folder, expected, 300, 0.001) >= 300


@pytest.mark.parametrize("number", [None, errno.ENOSPC, errno.EIO], ids=["killed", "full", "broken"])
@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_each_change_of_the_disk_may_be_the_last(
    run: Run, folder: Path, expected: dict[str, bytes], number: int | None, stride: int
) -> None:
    """SQLite's loop: stop at the k-th change, for each k until a run comes through."""
    total = run(folder / f"count-{number}-{stride}", fault={"at": 10**6, "errno": number})["operations"]
    assert total > 50
    for k in range(1, total + 1, stride):
        place = folder / f"fault-{number}-{stride}-{k}"
        before = run(place, fault={"at": k, "errno": number})["status"]
        assert before == {None: 137, errno.ENOSPC: 2, errno.EIO: 1}[number], k
        if number is not None:
            error = (place / "error.txt").read_text()
            assert str(place) in error and "\n" not in error
            assert not list(place.rglob("step-*.tmp-*"))
        assert run(place)["status"] == 0, k
        assert result(place) == expected, k


def test_a_signal_saves_at_the_next_step(run: Run, folder: Path, expected: dict[str, bytes]) -> None:
    dice = random.Random(5)
    for number in (signal.SIGTERM, signal.SIGINT):
        for turn in range(4):
            place = folder / f"signal-{number}-{turn}"
            assert run(place, signals=[[dice.uniform(0.1, 0.4), number]], slow=0.05)["status"] == 3
            assert valid(place) is not None
            status = 3
            while status == 3:
                status = run(place, signals=[[dice.uniform(0.3, 0.6), number]], slow=0.02)["status"]
            assert status == 0
            found = result(place)
            # A stop between the last step and its validation saves before it; state.json then tells of that moment.
            del found["state.json"]
            assert found.items() <= expected.items()


def test_a_second_signal_leaves_at_once(run: Run, folder: Path, expected: dict[str, bytes]) -> None:
    place = folder / "twice"
    assert run(place, signals=[[0.5, signal.SIGINT]], slow=0.05)["status"] == 3
    before = valid(place)
    assert before is not None and before > 0
    signals = [[0.5, signal.SIGTERM], [0.1, signal.SIGTERM]]  # both within one slow pass
    assert run(place, signals=signals, slow=10)["status"] == 3
    assert valid(place) == before
    assert run(place)["status"] == 0
    assert result(place) == expected
