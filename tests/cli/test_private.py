"""What a command leaves behind is its owner's alone, and no command but a download opens a connection."""

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command
from tests.cli.rows import PLAIN
from tunesmith.cli.app import COMMANDS, GROUPS

DOWNLOADS = {"quickstart", "bases"}
"""Commands that may be asked for a download."""
ELSEWHERE: dict[str, str] = {
    "compare": "its processes are runs",
    "sweep": "its trials are runs",
    "best-of": "loads and writes as generate does",
    "predict": "reads and scores as evaluate does",
    "forget": "trains as train does; tests/erasure",
}
"""Commands that are not walked through here, and why."""

_seen: list[tuple[str, Any]] = []
_on = [False]


def _hear(event: str, given: tuple[Any, ...]) -> None:
    if _on[0] and event.startswith("socket.") and event not in ("socket.__new__", "socket.gethostname"):
        _seen.append((event, given))


@pytest.fixture
def heard() -> Iterator[list[tuple[str, Any]]]:
    """Every use of a socket in this process, caught before anyone can swallow an error."""
    if not getattr(sys, "_heard", False):
        sys.addaudithook(_hear)
        sys._heard = True  # type: ignore[attr-defined]
    _seen.clear()
    _on[0] = True
    yield _seen
    _on[0] = False


def _open_to_others(folder: Path) -> list[str]:
    return [
        f"{path.relative_to(folder.parent)} {stat.filemode(path.stat().st_mode)}"
        for path in (folder, *folder.rglob("*"))
        if path.stat().st_mode & 0o077
    ]


@pytest.mark.parametrize("kind", ["trained", "trained_whole"])
def test_nobody_else_may_read_a_run(kind: str, request: pytest.FixtureRequest) -> None:
    run: Path = request.getfixturevalue(kind)
    names = {path.name for path in run.rglob("*")}
    assert {"result.json", "report.html", "MODEL_CARD.md", "bom.json", "metrics.jsonl"} <= names
    assert len([name for name in names if name.endswith(".safetensors")]) >= 1
    assert _open_to_others(run) == []


def test_nothing_that_is_printed_or_logged_holds_a_row(trained: Path, labelled: Path) -> None:
    """Rows stand where answers are compared, and nowhere else."""
    row = json.loads(labelled.read_text().splitlines()[0])["text"].split()[2]  # a number that no other row has
    every = [path for path in trained.rglob("*") if path.is_file()]
    rows = [json.loads(line)["text"].split()[2] for line in labelled.read_text().splitlines()]
    holding = {p.name for p in every for text in rows if text.encode() in p.read_bytes()}
    assert len(row) > 10 and holding <= {"examples.json", "report.html"}


def test_every_command_is_walked_through() -> None:
    walked = {"train", "check", "plan", "evaluate", "gate", "card", "report", "generate", "chat", "merge", "adapters"}
    assert walked | DOWNLOADS | set(ELSEWHERE) == {*COMMANDS, *GROUPS}


def test_no_command_opens_a_connection(
    tunesmith: Command,
    tiny_folder: Callable[[str], Path],
    labelled: Path,
    trained: Path,
    tmp_path: Path,
    heard: list[tuple[str, Any]],
) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    assert json.loads((run / "result.json").read_text())["environment"]["network"] == "off"  # while it was trained
    commands: list[list[object]] = [
        ["check", labelled, "--base", tiny_folder("llama")],
        ["card", run],
        ["report", run],
        ["generate", run, "--prompt", "number 1", "--max-tokens", 3],
        ["adapters", "list", tmp_path],
        ["bases"],
    ]
    for command in commands:
        said = tunesmith(*command)
        assert said.status == 0, (command, said.err)
    assert tunesmith("gate", run, "--policy", "hobby").status in (0, 1, 2)
    assert heard == [] and _open_to_others(run) == []


@pytest.mark.slow
def test_no_long_command_opens_a_connection(
    tunesmith: Command,
    tiny_folder: Callable[[str], Path],
    labelled: Path,
    trained: Path,
    tmp_path: Path,
    heard: list[tuple[str, Any]],
) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    words = ["--base", tiny_folder("llama"), "--data", labelled, "train.max_steps=2", *PLAIN]
    commands: list[list[object]] = [
        ["plan", *words],
        ["train", *words, "--output", tmp_path / "new", "evaluate.answers=0"],
        ["evaluate", run],
        ["merge", run, tmp_path / "merged"],
    ]
    for command in commands:
        said = tunesmith(*command)
        assert said.status == 0, (command, said.err)
    assert tunesmith("chat", run, stdin="number 1\n/quit\n").status == 0
    assert heard == []
    for place in ("run", "new", "merged"):
        assert _open_to_others(tmp_path / place) == []


def test_a_run_fetches_nothing_that_it_was_not_told_to(
    tunesmith: Command, labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heard: list[tuple[str, Any]]
) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "empty"))
    said = tunesmith("train", "--data", labelled, "--output", tmp_path / "run")
    assert said.status == 2 and "`tunesmith bases --get smollm2-135m` downloads it" in said.err
    said = tunesmith("train", "--data", "drug-reviews", "--output", tmp_path / "run")
    assert said.status == 2 and "bases --get drug-reviews" in said.err
    assert heard == [] and not (tmp_path / "run").exists() and not (tmp_path / "empty").exists()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_the_system_sees_no_connection(tiny_folder: Callable[[str], Path], labelled: Path, tmp_path: Path) -> None:
    """What the interpreter cannot tell: native code, and the processes that a run starts."""
    log = tmp_path / "log"
    words = ["--base", tiny_folder("llama"), "--data", labelled, "--output", tmp_path / "run", "train.max_steps=2"]
    trace = ["strace", "-f", "-qq", "-e", "trace=connect,sendto", "-o", log, sys.executable, "-m", "tunesmith"]
    command = [str(word) for word in (*trace, "train", *words, *PLAIN)]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [line for line in log.read_text().splitlines() if "AF_INET" in line and '"127.' not in line] == []
