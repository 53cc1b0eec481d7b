"""What a job's process says, and what is made of one that says nothing."""

from pathlib import Path

import pytest

from tunesmith import job
from tunesmith.compare import process
from tunesmith.core.errors import Interrupted, RunFailed, UserError


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that stands in for the worker."""
    path = tmp_path / "python"
    monkeypatch.setattr(job.sys, "executable", str(path))
    return path


def write(python: Path, script: str) -> None:
    python.write_text(f"#!/bin/bash\ncat > asked.json\n{script}\n")
    python.chmod(0o700)


def test_what_was_found_comes_back_and_what_was_asked_goes_there(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(python, """echo noise; echo '{"done": {"step": 2.5}}'""")
    assert process.call("probe", size=[5, 4]) == {"step": 2.5}
    assert (tmp_path / "asked.json").read_text() == '{"job": "probe", "size": [5, 4]}'


@pytest.mark.parametrize(
    ("script", "kind", "said"),
    [
        ("""echo '{"refused": "method.rank: too large"}'""", UserError, "method.rank: too large"),
        ("""echo '{"failed": "step 3: the loss is nan"}'""", RunFailed, "the loss is nan"),
        ("""echo '{"interrupted": {}}'""", Interrupted, "stopped"),
        ("kill -9 $$", RunFailed, "memory was not enough"),
        ("exit 7", RunFailed, "ended with status 7"),
    ],
)
def test_how_it_can_end(
    script: str, kind: type[Exception], said: str, python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(python, script)
    with pytest.raises(kind, match=said):
        process.call("train")
