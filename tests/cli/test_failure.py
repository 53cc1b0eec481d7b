"""Every kind of error becomes one line and the exit status that programs rely on."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tunesmith.core.errors import Interrupted, RunFailed, UserError


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (UserError("key: wrong\n  in two lines"), 2, "error: key: wrong in two lines"),
        (RunFailed("the proof failed"), 1, "error: the proof failed"),
        (
            Interrupted("stopped after step 3 of 9; give the same command again to go on"),
            3,
            "stopped after step 3 of 9",
        ),
        (KeyboardInterrupt(), 3, "stopped"),
        (EOFError(), 3, "stopped"),
        (
            ZeroDivisionError("by zero"),
            1,
            "error: ZeroDivisionError: by zero; `tunesmith --debug report x` shows where",
        ),
        (PermissionError(13, "denied"), 1, "error: PermissionError"),
        (AssertionError(), 1, "error: AssertionError; `tunesmith --debug report x` shows where"),
    ],
)
def test_statuses(
    tunesmith: Command, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int, said: str
) -> None:
    def fail(folder: Path) -> None:
        raise error

    monkeypatch.setattr("tunesmith.opening.read_run_recipe", fail)
    found = tunesmith("report", "x")
    assert (found.status, found.out) == (status, "")
    assert found.err.startswith(f"tunesmith: {said}") and found.err.count("\n") == 1


def test_debug_shows_the_traceback_and_ends_alike(tunesmith: Command, tmp_path: Path) -> None:
    found = tunesmith("--debug", "report", tmp_path)
    assert found.status == 2
    assert "Traceback" in found.err and found.err.splitlines()[-1].startswith("tunesmith: error: ")


def test_an_interrupted_training_names_the_command_that_goes_on(
    tunesmith: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise Interrupted("stopped after step 3 of 9; give the same command again to go on")

    monkeypatch.setattr("tunesmith.recipe.read_recipe", fail)
    found = tunesmith("train", "--data", "my rows.jsonl", "method.rank=4")
    assert found.status == 3
    assert found.err == (
        "tunesmith: stopped after step 3 of 9; to go on: tunesmith train --data 'my rows.jsonl' method.rank=4\n"
    )


def test_a_reader_that_leaves_is_no_error() -> None:
    command = f"{sys.executable} -m tunesmith bases | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1) and done.stderr == ""
