"""What is deleted when a row is forgotten, and the line that remembers it: date, reason, hashes, never the row."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tunesmith.core.files import RunLock, remove_folder, write_text, writing
from tunesmith.data.index import FORGOTTEN
from tunesmith.erasure.touched import Findings, Touched

_FILES = ("examples.json", "items.jsonl", "samples.jsonl", "report.html", "suites.html")
WORDS = (*_FILES, "suites", "evaluation", "rollouts")
"""Files and folders of a run in which the words of a row that judged it may stand."""


def leftovers(run: Touched) -> list[str]:
    """-> what of a run that was only judged by a row must go."""
    return [name for name in WORDS if (run.run / name).exists()]


def delete(found: Findings) -> None:
    """Delete runs that learned from the rows, adapters made of them, and from other runs what may show their words."""
    for run in found.runs:
        with RunLock(run.run):
            if run.learned:
                remove_folder(run.run)
                continue
            for name in leftovers(run):
                _remove(run.run / name)
    for folder in found.derived:
        if folder.is_dir():  # it may have lain in a run
            remove_folder(folder)


def _remove(path: Path) -> None:
    with writing(path):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def bury(root: Path, found: Findings, *, reason: str, deleted: bool, retrained: dict[Path, Path]) -> Path:
    """Add the line to `forgotten.jsonl` of the folder of runs. -> its path."""
    runs = [
        {
            "run": str(run.run),
            "artifact_sha256": run.sha256,
            "rows": {part: len(some) for part, some in run.rows.items()},
            "deleted": deleted and run.learned,
            "retrained": str(retrained[run.run]) if run.run in retrained else None,
        }
        for run in found.runs
    ]
    stone: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "reason": reason,
        "rows": sorted(found.digests),
        "runs": runs,
        "adapters": [str(path) for path in found.derived] if deleted else [],
    }
    path = root / FORGOTTEN
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    write_text(path, before + json.dumps(stone, ensure_ascii=False) + "\n")
    return path
