"""A process that has imported torch once and forks a run for each line it reads: runs to kill, started in no time.

A line is JSON: {"folder", "signals": [[seconds, number], ...], "fault": {"at": k, "errno": n or null},
"slow": seconds}.
The answer is a line: {"status", "operations"}.
"""

import json
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import torch

from tests.train.tiny_run import command, noisy
from tunesmith.train import checkpoint, metrics

CHANGES = ("fsync", "replace", "rename", "mkdir", "ftruncate", "pwrite", "unlink", "rmdir")


class Fault:
    """Lets the `at`-th change of the disk fail, or kills the process just before it."""

    def __init__(self, at: int, errno: int | None) -> None:
        self.at, self.errno, self.count = at, errno, 0

    def install(self) -> None:
        for name in CHANGES:
            setattr(os, name, self._counted(getattr(os, name)))
        checkpoint.save_file = self._counted(checkpoint.save_file)
        metrics._add = self._counted(metrics._add)

    def _counted(self, change: Any) -> Any:
        def instead(*given: Any, **named: Any) -> Any:
            self.count += 1
            if self.count == self.at and self.errno is None:
                os._exit(137)
            if self.count >= self.at and self.errno is not None and change.__name__ not in ("unlink", "rmdir"):
                raise OSError(self.errno, os.strerror(self.errno))
            return change(*given, **named)

        return instead


def child(task: dict[str, Any], report: int) -> int:
    folder = Path(task["folder"])
    folder.mkdir(exist_ok=True, parents=True)
    fault = Fault(**task.get("fault", {"at": -1, "errno": None}))
    if "fault" in task:
        fault.install()

    def slow(model: Any, batch: Any) -> Any:
        time.sleep(task.get("slow", 0.0))
        return noisy(model, batch)

    status = command(folder, objective=slow)
    os.write(report, json.dumps(fault.count).encode())
    return status


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        command(Path(name))  # the first step imports half of torch, once for all children
    for line in sys.stdin:
        task = json.loads(line)
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                status = child(task, write)
            except BaseException:
                traceback.print_exc()
                status = 99
            os._exit(status)
        os.close(write)
        for seconds, number in task.get("signals", []):
            time.sleep(seconds)
            os.kill(pid, number)  # not reaped yet: the number is still its own
        _, status = os.waitpid(pid, 0)
        operations = os.read(read, 20)
        os.close(read)
        answer = {"status": os.waitstatus_to_exitcode(status), "operations": int(operations or 0)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
