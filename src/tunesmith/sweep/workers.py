"""Trials that run beside each other, each in a process of its own; what stops us stops them at a step."""

import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith.core.errors import Interrupted, RunFailed, UserError
from tunesmith.core.files import make_folder, private
from tunesmith.job import answer, begun

MODULE = "tunesmith.sweep"
PAUSE = 0.1  # seconds between two looks


@dataclass
class Ended:
    """How a job ended: what it found, or why not."""

    number: int
    seconds: float
    found: dict[str, Any] | None = None
    why: Exception | None = None


@dataclass
class Workers:
    """The jobs that are under way."""

    running: dict[int, tuple["subprocess.Popen[str]", float]] = field(default_factory=dict)
    heard: list[int] = field(default_factory=list)
    stopping: bool = False
    log: Path | None = None  # for bars and warnings, where several would write over each other

    @contextmanager
    def attended(self) -> Iterator[None]:
        """Inside, Ctrl-C and SIGTERM are noted; whatever happens, no job outlives it."""
        main = threading.current_thread() is threading.main_thread()
        numbers = (signal.SIGINT, signal.SIGTERM) if main else ()
        before = {number: signal.signal(number, lambda n, _: self.heard.append(n)) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            for process, _ in self.running.values():
                process.kill()
                process.wait()

    def start(self, number: int, job: str, **asked: Any) -> None:
        if self.log is None:
            process = begun(MODULE)
        else:
            make_folder(self.log.parent)
            with open(self.log, "ab", opener=private) as file:
                process = begun(MODULE, stderr=file)
        assert process.stdin is not None
        process.stdin.write(json.dumps({"job": job, **asked}))
        process.stdin.close()
        process.stdin = None  # `communicate` would flush it
        self.running[number] = (process, time.monotonic())

    def stop(self) -> None:
        """Ask all to save and end."""
        if not self.stopping:
            for process, _ in self.running.values():
                process.send_signal(signal.SIGINT)
        self.stopping = True

    def ended(self) -> list[Ended]:
        """-> those that have ended since the last look."""
        time.sleep(PAUSE)
        return [
            self._collected(number) for number, (process, _) in list(self.running.items()) if process.poll() is not None
        ]

    def _collected(self, number: int) -> Ended:
        process, begin = self.running.pop(number)
        out, _ = process.communicate()
        try:
            stopped = self.stopping and '"done"' not in out  # one that was just done is done
            return Ended(number, time.monotonic() - begin, answer(out, process.returncode, stopped))
        except (UserError, RunFailed, Interrupted) as error:
            return Ended(number, time.monotonic() - begin, why=error)

    def do(self, job: str, **asked: Any) -> dict[str, Any]:
        """One job, waited for. Raises what it raised."""
        self.start(-1, job, **asked)
        while True:
            if self.heard:
                self.stop()
            for ended in self.ended():
                if ended.why is not None:
                    raise ended.why
                assert ended.found is not None
                return ended.found
