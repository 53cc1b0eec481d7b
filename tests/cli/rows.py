"""Small files of rows, and the overrides that make a run small and the same on each machine."""

import json
import random
from collections.abc import Iterable
from pathlib import Path

PLAIN = ("train.threads=1", "train.precision=float32", "evaluate.general=false", "evaluate.answer_tokens=8")


def write_rows(path: Path, rows: Iterable[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_labelled(path: Path, draw: random.Random, count: int) -> Path:
    """Texts whose last word is their label: a tiny model learns to copy it in a dozen steps."""

    def row(i: int) -> dict[str, str]:
        label = draw.choice(["good", "bad"])
        return {"text": f"number {i} {draw.random()} is {label}", "label": label}

    return write_rows(path, (row(i) for i in range(count)))
