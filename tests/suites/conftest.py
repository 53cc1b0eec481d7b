"""Runs of a tiny base that the suites are asked of. Read them only, or copy them."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import labelled, trained_whole, tunesmith  # noqa: F401 - fixtures of the commands
from tests.cli.rows import PLAIN, write_rows
from tunesmith.cli import main

WORDS = ["mill", "river", "stone", "bread", "water", "hill", "rain", "cat", "gate", "voice"]


def write_answers(path: Path, draw: random.Random, count: int) -> Path:
    """Questions with long answers, so that there is something to extract; `kind` makes slices."""

    def row(i: int) -> dict[str, str]:
        answer = " ".join(draw.choice(WORDS) for _ in range(16))
        return {"prompt": f"Tell me story {i}.", "completion": answer, "kind": "even" if i % 2 else "odd"}

    return write_rows(path, (row(i) for i in range(count)))


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[[str], Path]) -> Path:
    """A finished LoRA run on questions with answers, with canaries."""
    folder = tmp_path_factory.mktemp("runs") / "told"
    rows = write_answers(tmp_path_factory.mktemp("rows") / "told.jsonl", random.Random(0), 90)
    words = ["train", "--base", tiny_folder("llama"), "--data", rows, "--output", folder, "train.learning_rate=0.02"]
    more = ["data.canaries=3", "data.split=[0.5,0.1,0.4]", "train.epochs=2"]
    assert main([str(word) for word in (*words, *PLAIN, *more)]) == 0
    return folder
