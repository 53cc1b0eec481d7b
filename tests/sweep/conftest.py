"""The jobs of a sweep in this process, for tests of whole sweeps."""

import json
from typing import Any

import pytest

from tunesmith.core.errors import Interrupted, UserError
from tunesmith.proof import Check
from tunesmith.sweep.__main__ import JOBS
from tunesmith.sweep.workers import Ended, Workers


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The jobs that were begun; they are done in this process, which spares the start of one for each."""
    begun: list[str] = []
    done: list[Ended] = []

    def start(self: Workers, number: int, job: str, **given: Any) -> None:
        begun.append(job)
        self.running[number] = None  # type: ignore[assignment]
        try:
            if "stop" in begun and job == "trial":
                self.heard.append(2)
                raise Interrupted("stopped")
            found = json.loads(json.dumps(JOBS[job](json.loads(json.dumps(given)))))
            done.append(Ended(number, 1.0, found))
        except (UserError, Interrupted) as error:
            done.append(Ended(number, 1.0, why=error))

    def ended(self: Workers) -> list[Ended]:
        found = list(done)
        done.clear()
        self.running.clear()
        return found

    def held(*_: Any, **__: Any) -> Check:
        return Check(True, "a fresh process is another test's")

    monkeypatch.setattr(Workers, "start", start)
    monkeypatch.setattr(Workers, "ended", ended)
    monkeypatch.setattr("tunesmith.proof.file_equals_memory", held)
    return begun
