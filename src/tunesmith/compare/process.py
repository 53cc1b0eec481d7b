"""A job of a comparison in a process of its own, so that no method's memory or speed touches another's."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tunesmith.core.errors import Interrupted, RunFailed, UserError
from tunesmith.environment import of_child


def call(job: str, **asked: Any) -> dict[str, Any]:
    """-> what the job found. Its bars and warnings go to our stderr.

    Raises what the job raised: UserError, RunFailed, and Interrupted when a signal came; the job ends cleanly first.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "tunesmith.compare"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=of_child() | {"PYTHONWARNINGS": "ignore"},
        start_new_session=True,  # Ctrl-C reaches us alone, and we pass it on
    )
    try:
        with _passing_on(process) as heard:
            out, _ = process.communicate(json.dumps({"job": job, **asked}))
    finally:
        process.kill()
        process.wait()
    answer = json.loads(out.splitlines()[-1]) if out.strip() else {}
    if heard or "interrupted" in answer:
        raise Interrupted("stopped")
    if "done" in answer:
        found: dict[str, Any] = answer["done"]
        return found
    if "refused" in answer:
        raise UserError(answer["refused"])
    raise RunFailed(answer.get("failed") or _ended(process.returncode))


def _ended(status: int) -> str:
    """Why a process ended without a word."""
    if status == -signal.SIGKILL:
        return "it was stopped by the system, most likely because the memory was not enough"
    return f"its process ended with status {status}; its last lines are above"


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
