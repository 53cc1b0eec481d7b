"""A Python function as a reward: in a long-lived process of its own, with a time limit for each call.

The process can hang, print, end or leak: here it is a number, or one line that names the row. Only the one file that
the user names is loaded; its folder is not on the path of imports, so that the file's hash says what ran.
"""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from tunesmith.core.errors import UserError, near
from tunesmith.core.files import sha256
from tunesmith.rewards.reward import Asked, Described, shown
from tunesmith.rewards.verifiers import why_not

WORKER = Path(__file__).with_name("worker.py")
VERIFIERS = Path(__file__).with_name("verifiers.py")
LOADING = 60.0  # seconds that the imports of a file may take


class Function:
    """`Function("my.py:brevity", Path("my.py"), "brevity")` starts the process. Raises UserError when it cannot."""

    def __init__(self, name: str, path: Path, function: str, *, seconds: float, option: list[str | None] | None = None):
        """`option`: of a built-in, with the one thing in it that stands behind the colon, or None."""
        self.name, self._path, self._function, self._seconds = name, path, function, seconds
        self._builtin = option is not None
        self._option = [] if option is None else [json.dumps(option[0])]
        file = path if option is None else Path(option[0] or "") if function == "json-schema" else None
        known = file is not None and file.is_file()
        self.described = Described(name, str(file) if known else None, sha256(file) if file and known else None)
        self._process: subprocess.Popen[bytes] | None = None
        self._start()

    def refuse(self, asked: Sequence[Asked]) -> None:
        """Raises UserError for the first row that no answer could be judged for."""
        if not self._builtin:
            return
        for one in asked:
            reason = why_not(self._function, json.loads(self._option[0]), one.row)
            if reason is not None:
                raise UserError(f"{one.place}: the reward `{self.name}` cannot judge it: the row {reason}")

    def __call__(self, asked: Sequence[Asked]) -> list[float]:
        return [self._judged(one) for one in asked]

    def close(self) -> None:
        """End the process. Another call starts it anew."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()

    def _judged(self, one: Asked) -> float:
        if self._process is None:
            self._start()
        reply = self._exchange([one.prompt, one.answer, dict(one.row)], self._seconds)
        where = f"{one.place}: the reward `{self.name}`"
        answer = f"for the answer {shown(one.answer)}"
        if reply is None:
            raise UserError(
                f"{where} took more than {self._seconds:g} s {answer} and was stopped; make it faster, or give it "
                "more time with objective.reward_seconds"
            )
        if "value" in reply:
            return float(reply["value"])
        if "not_number" in reply:
            raise UserError(f"{where} returned {reply['not_number']} {answer}; it must return one finite number")
        if "ended" in reply:
            raise UserError(f"{where} ended its process (status {reply['ended']}) {answer}; it must return a number")
        line = f", line {reply['line']}" if reply.get("line") else ""
        raise UserError(f"{where} raised {reply['error']} ({self._path}{line}) {answer}; make it return a number")

    def _start(self) -> None:
        command = [sys.executable, "-P", str(WORKER), str(self._path.absolute()), self._function, *self._option]
        environment = {**os.environ, "PYTHONHASHSEED": "0"}  # an order of sets that stays: equal runs are equal
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the run, which then ends this process
        )
        reply = self._read(max(LOADING, self._seconds))
        if reply is not None and reply.get("ready"):
            return
        self.close()
        raise UserError(f"objective.reward: {self._refused(reply)}")

    def _refused(self, reply: dict[str, Any] | None) -> str:
        wanted = f"define `def {self._function}(prompt, answer, row)` and return a number"
        if reply is None:
            return f"{self._path}: was not loaded within {LOADING:g} s; do less when the file is imported"
        if "ended" in reply:
            return f"{self._path}: ended its process while it was loaded (status {reply['ended']})"
        if reply.get("refused") == "missing":
            return f"{self._path}: has no function `{self._function}`{near(self._function, reply['more'])}; {wanted}"
        if reply.get("refused") == "not callable":
            return f"{self._path}: `{self._function}` is a {reply['more']}, not a function; {wanted}"
        if reply.get("refused") == "signature":
            return f"{self._path}: `{self._function}{reply['more']}` cannot be called with three arguments; {wanted}"
        if self._builtin:
            return f"`{self.name}`: {reply['error'].partition(': ')[2]}"
        line = f", line {reply['line']}" if reply.get("line") else ""
        return f"{self._path}{line}: cannot be loaded: {reply['error']}"

    def _exchange(self, asked: list[Any], seconds: float) -> dict[str, Any] | None:
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(asked, default=str).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended: reading tells how
        reply = self._read(seconds)
        if reply is None or "ended" in reply:
            self.close()
        return reply

    def _read(self, seconds: float) -> dict[str, Any] | None:
        """-> one reply; None when the time is over, and `ended` with the status when the process is."""
        assert self._process is not None and self._process.stdout is not None
        line = _line(self._process.stdout, time.monotonic() + seconds)
        if line is None:
            return None
        if not line.endswith(b"\n"):
            return {"ended": self._process.wait()}
        reply: dict[str, Any] = json.loads(line)
        return reply


def _line(pipe: IO[bytes], until: float) -> bytes | None:
    """-> the bytes up to a line's end, or up to the end of the pipe; None when it is too late."""
    number, line = pipe.fileno(), b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([number], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            return None
        if not (part := os.read(number, 65536)):
            break
        line += part
    return line
