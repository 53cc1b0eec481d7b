"""`samples.jsonl`: what a policy answers to the same few prompts as it learns, one line for each answer."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tunesmith.core.files import write_text


def add_samples(path: Path, step: int, samples: Iterable[Mapping[str, Any]]) -> None:
    """Add the answers of `step`. Lines of that step and later ones are a killed run's, and are replaced."""
    kept = [line for line in _lines(path) if line["step"] < step]
    lines = [*kept, *({"step": step, **sample} for sample in samples)]
    write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
