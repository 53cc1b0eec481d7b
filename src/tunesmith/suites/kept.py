"""What was answered is kept item by item, so that a suite goes on where it was stopped and nothing is asked twice."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tunesmith.core.files import PRIVATE, make_folder, write_text, writing
from tunesmith.data.rows import canonical
from tunesmith.suites.suite import Item

Pairs = list[tuple[Any, Any]]


def key(item: Item) -> str:
    return hashlib.sha256(canonical(dict(item)).encode()).hexdigest()[:32]


class Kept:
    """Answers of base and tuned model by the content of the item; one file for each pair of models."""

    def __init__(self, folder: Path, identity: str) -> None:
        make_folder(folder)
        self.path = folder / f"{identity[:16]}.jsonl"
        self.known = dict(self._whole())
        # A line that a kill cut short would make one with the next.
        write_text(self.path, "".join(_line(k, *pair) for k, pair in self.known.items()))

    def _whole(self) -> list[tuple[str, tuple[Any, Any]]]:
        if not self.path.is_file():
            return []
        found = []
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                one = json.loads(line)
                found.append((str(one["key"]), (one["base"], one["tuned"])))
            except (ValueError, KeyError, TypeError):
                continue  # cut short: it is asked again
        return found

    def add(self, items: Sequence[Item], pairs: Pairs) -> None:
        lines = [_line(key(item), *pair) for item, pair in zip(items, pairs, strict=True)]
        self.known |= {key(item): pair for item, pair in zip(items, pairs, strict=True)}
        with writing(self.path):
            number = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, PRIVATE)
            with open(number, "a", encoding="utf-8") as file:
                file.write("".join(lines))
                file.flush()
                os.fsync(number)


def _line(name: str, base: Any, tuned: Any) -> str:
    return json.dumps({"key": name, "base": base, "tuned": tuned}, ensure_ascii=False, allow_nan=False) + "\n"


def answered(
    kept: Kept,
    items: Sequence[Item],
    ask: Callable[[Sequence[Item]], Pairs],
    at_once: int,
    seen: Callable[[int], None],
) -> Pairs:
    """-> the answers to all items; those that are not kept yet are asked for, some at a time."""
    missing = list({key(item): item for item in items if key(item) not in kept.known}.values())
    seen(len(items) - len(missing))
    for start in range(0, len(missing), at_once):
        some = missing[start : start + at_once]
        kept.add(some, ask(some))
        seen(len(some))
    # As they are read back: what is judged does not depend on whether it was kept.
    return [json.loads(json.dumps(kept.known[key(item)])) for item in items]
