"""The door: help, version, unknown words, and how quickly they answer."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tunesmith.cli.app import COMMANDS
from tunesmith.cli.train import METHODS, OBJECTIVES
from tunesmith.methods.names import PRESETS
from tunesmith.objectives import OBJECTIVES as KINDS


def test_help_names_every_command(tunesmith: Command) -> None:
    said = tunesmith("--help")
    assert said.status == 0
    assert all(f" {name} " in said.out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_a_help_that_explains_its_words(tunesmith: Command, name: str) -> None:
    said = tunesmith(name, "--help")
    assert said.status == 0
    assert f"tunesmith {name}" in said.out and said.err == ""


def test_the_help_names_every_method_and_objective() -> None:
    assert set(METHODS) == set(PRESETS) and METHODS[0] == "lora"
    assert list(OBJECTIVES) == list(KINDS)


def test_help_and_import_load_nothing_heavy() -> None:
    code = (
        "import sys, tunesmith; from tunesmith.cli import main; status = main(['--help']); "
        "sys.exit(status or any(name in sys.modules for name in ('torch', 'transformers', 'pydantic', 'numpy')))"
    )
    begin = time.perf_counter()
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
    assert time.perf_counter() - begin < 5  # half a second on a machine that does nothing else


def test_version(tunesmith: Command) -> None:
    assert tunesmith("--version").out.startswith("tunesmith 0.")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], "'train'"),
        (["train", "--bsae", "x"], "--base"),
        (["generate"], "RUN|BASE"),
        (["generate", "x", "--prompt", "y", "--temperature", "-1"], "temperature"),
        (["generate", "x", "--prompt", "y", "--adapter", "up"], "both"),
    ],
)
def test_a_wrong_word_is_one_line_with_the_right_one(tunesmith: Command, words: list[str], said: str) -> None:
    found = tunesmith(*words)
    assert found.status == 2 and found.out == ""
    assert found.err.startswith("tunesmith: error: ") and found.err.count("\n") == 1
    known = f"{words[0]} " if words[0] in COMMANDS else ""
    assert said in found.err and f"`tunesmith {known}--help`" in found.err


def test_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "tunesmith", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("tunesmith ")


def test_a_terminal_that_knows_only_ascii(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [
        sys.executable,
        "-m",
        "tunesmith",
        "train",
        "--data",
        str(tmp_path / "\u00e4\u4e2d.jsonl"),
        "--output",
        "x",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
    assert done.returncode == 2 and "no such file or folder" in done.stderr and "??.jsonl" in done.stderr
    assert list(tmp_path.iterdir()) == []
