"""A finder that runs in a second process while the others run in this one, over the same rows in memory.

The process is a fork: rows are not copied, only what both write to. Its findings come back as JSON.
"""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from tunesmith.core.errors import UserError
from tunesmith.doctor.case import Case
from tunesmith.doctor.finding import Example, Finder, Finding

LEAST = 20_000  # rows: below, a process is not worth its start


def worth_it(case: Case) -> bool:
    """Whether there are rows enough, two processors, and a system on which a fork is safe."""
    return sys.platform == "linux" and len(case.entries) >= LEAST and len(os.sched_getaffinity(0)) > 1


def begun(finder: Finder, case: Case) -> Callable[[], list[Finding]]:
    """Start `finder` in a process of its own. -> what waits for its findings; UserError as the finder would raise."""
    folder = TemporaryDirectory(prefix="tunesmith-doctor-")
    answer = Path(folder.name) / "findings.json"
    child = os.fork()
    if child == 0:
        _answer(finder, case, answer)

    def wait() -> list[Finding]:
        with folder:
            os.waitpid(child, 0)
            # A process that was killed, for memory perhaps, leaves nothing: then it is done here, alone.
            told = json.loads(answer.read_text(encoding="utf-8")) if answer.is_file() else None
        if told is None:
            return finder(case)
        if "refused" in told:
            raise UserError(told["refused"])
        return [_finding(one) for one in told["found"]]

    return wait


def _answer(finder: Finder, case: Case, path: Path) -> None:
    """In the new process: find, write, and end at once, without what ends the process that it is a copy of."""
    status = 1
    try:
        try:
            told: dict[str, object] = {"found": [asdict(one) for one in finder(case)]}
        except UserError as error:
            told = {"refused": str(error)}
        aside = path.with_suffix(".part")
        aside.write_text(json.dumps(told), encoding="utf-8")
        aside.rename(path)
        status = 0
    finally:
        os._exit(status)


def _finding(told: dict[str, object]) -> Finding:
    values = dict(told)
    examples = [Example(**one) for one in values.pop("examples")]  # type: ignore[attr-defined]
    return Finding(**values, examples=examples)  # type: ignore[arg-type]
