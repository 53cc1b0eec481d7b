"""A job of a comparison in a process of its own, so that no method's memory or speed touches another's."""

import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tunesmith.job import answer, begun


def call(job: str, **asked: Any) -> dict[str, Any]:
    """-> what the job found. Its bars and warnings go to our stderr.

    Raises what the job raised: UserError, RunFailed, and Interrupted when a signal came; the job ends cleanly first.
    """
    process = begun("tunesmith.compare")
    try:
        with _passing_on(process) as heard:
            out, _ = process.communicate(json.dumps({"job": job, **asked}))
    finally:
        process.kill()
        process.wait()
    return answer(out, process.returncode, stopped=bool(heard))


@contextmanager
def _passing_on(process: "subprocess.Popen[str]") -> Iterator[list[int]]:
    """Inside, Ctrl-C and SIGTERM go to `process` as Ctrl-C. -> the signals that came."""
    heard: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield heard  # only the main thread may set handlers
        return

    def hear(number: int, frame: object) -> None:
        heard.append(number)
        process.send_signal(signal.SIGINT)

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
