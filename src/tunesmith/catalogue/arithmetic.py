"""Sums and differences of small numbers: rows that a program can judge, made here, the same ones for ever."""

import json
import random
from pathlib import Path

LARGEST = 20
TEST = 160  # questions, none of which stands in the training rows
SEED = 0


def questions() -> list[tuple[str, int]]:
    """-> every a + b, and every a - b that is not negative, in an order drawn once."""
    numbers = range(1, LARGEST + 1)
    found = [(f"{a} + {b}", a + b) for a in numbers for b in numbers]
    found += [(f"{a} - {b}", a - b) for a in numbers for b in numbers if b <= a]
    # `random.Random.random` gives the same numbers in all versions of Python; `shuffle` need not.
    order = random.Random(SEED)
    return [one for _, one in sorted((order.random(), one) for one in found)]


def write(folder: Path) -> None:
    """-> train.jsonl and test.jsonl of {"prompt", "answer"}."""
    every = questions()
    for name, part in (("test.jsonl", every[:TEST]), ("train.jsonl", every[TEST:])):
        rows = ({"prompt": f"What is {q}? Answer with the number only.", "answer": str(answer)} for q, answer in part)
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
