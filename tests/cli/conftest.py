"""A command in this process, and runs on tiny bases that all tests of the commands share."""

import io
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.rows import PLAIN, write_labelled
from tunesmith.cli import main


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    status: int
    out: str
    err: str


Command = Callable[..., Said]


@pytest.fixture
def tunesmith(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    def run(*words: object, stdin: str = "") -> Said:
        capsys.readouterr()
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        status = main([str(word) for word in words])
        said = capsys.readouterr()
        return Said(status, said.out, said.err)

    return run


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_labelled(tmp_path_factory.mktemp("rows") / "labelled.jsonl", random.Random(0), 80)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[[str], Path], labelled: Path) -> Path:
    """A finished LoRA run. Read it only."""
    folder = tmp_path_factory.mktemp("runs") / "lora"
    words = [
        "train",
        "--base",
        tiny_folder("llama"),
        "--data",
        labelled,
        "--output",
        folder,
        "train.learning_rate=0.01",
    ]
    assert main([str(word) for word in (*words, *PLAIN, "evaluate.answers=3")]) == 0
    return folder


@pytest.fixture(scope="session")
def trained_whole(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[[str], Path], labelled: Path) -> Path:
    """A finished run of full fine-tuning. Read it only."""
    folder = tmp_path_factory.mktemp("runs") / "full"
    words = ["train", "--base", tiny_folder("llama"), "--data", labelled, "--output", folder, "--method", "full"]
    assert main([str(word) for word in (*words, *PLAIN, "train.max_steps=4", "train.learning_rate=0.01")]) == 0
    return folder
