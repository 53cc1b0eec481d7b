"""The diary of a run: `metrics.jsonl` holds what is the same in each equal run, `timing.jsonl` what is not."""

import json
import os
import re
import resource
import sys
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from tunesmith.core.errors import UserError
from tunesmith.core.files import PRIVATE, make_folder, private, remove_unfinished, write_bytes, writing

Line = Mapping[str, float | int]


class Metrics:
    """`with Metrics(folder, ...) as metrics:` adds lines, each of which has a `step`.

    When a run goes on from `step`, the lines that a killed process wrote after that are cut off first: the first
    `size` bytes of metrics.jsonl stay, and the lines of timing.jsonl up to that step.
    """

    def __init__(self, folder: Path, *, step: int, size: int, tensorboard: bool = False) -> None:
        self.folder, self.step, self.size = folder, step, size
        self._board = _board(folder / "tensorboard", step) if tensorboard else None

    def __enter__(self) -> Self:
        remove_unfinished(self.folder)
        values, times = self.folder / "metrics.jsonl", self.folder / "timing.jsonl"
        before = timings(self.folder)
        kept = values.read_bytes()[: self.size] if values.exists() else b""
        if len(kept) < self.size:
            raise UserError(
                f"{values}: lines are missing that were there at step {self.step}; "
                "put the file back or choose another output folder"
            )
        write_bytes(values, kept)
        write_bytes(times, b"".join(_encode(line) for line in before if line["step"] <= self.step))
        self._values, self._times = _append(values), _append(times)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._values.close()
        self._times.close()
        if self._board is not None:
            self._board.close()

    def write(self, line: Line) -> None:
        """Add a line to metrics.jsonl: only values that an equal run would have too."""
        with writing(self.folder / "metrics.jsonl"):
            _add(self._values, line)
        if self._board is not None:
            for name, value in line.items():
                if name != "step":
                    self._board.add_scalar(name, value, line["step"])

    def time(self, line: Line) -> None:
        """Add a line to timing.jsonl."""
        with writing(self.folder / "timing.jsonl"):
            _add(self._times, line)

    def sync(self) -> int:
        """Force all lines to the disk. -> the size of metrics.jsonl, in bytes."""
        with writing(self.folder / "metrics.jsonl"):
            os.fsync(self._values.fileno())
            os.fsync(self._times.fileno())
        return os.fstat(self._values.fileno()).st_size


def timings(folder: Path) -> list[dict[str, Any]]:
    """-> the lines of timing.jsonl; one that a kill cut short is left out."""
    return _whole_lines(folder / "timing.jsonl")


def diary(folder: Path) -> list[dict[str, Any]]:
    """-> the lines of metrics.jsonl, in the same way."""
    return _whole_lines(folder / "metrics.jsonl")


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    whole = path.read_bytes().rpartition(b"\n")[0] if path.exists() else b""
    return [json.loads(line) for line in whole.splitlines()]


def peak_memory(device: torch.device) -> int:
    """-> the most bytes that this process has held so far: on the GPU when there is one, else resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.is_file():  # `getrusage` would count the process that started this one, too
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _encode(line: Line) -> bytes:
    return json.dumps(line, allow_nan=False).encode() + b"\n"


def _add(file: FileIO, line: Line) -> None:
    rest = _encode(line)
    while rest:  # a disk that is nearly full takes a part, and refuses the next
        rest = rest[file.write(rest) :]


def _append(path: Path) -> FileIO:
    # Unbuffered: a line is in the system's hands when `write` returns, and outlives the process.
    return open(path, "ab", buffering=0, opener=private)


def _board(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError(
            "train.tensorboard: tensorboard is not installed; "
            "run `pip install 'tunesmith[tensorboard]'` or set it to false"
        ) from None
    make_folder(folder)
    board = SummaryWriter(str(folder), purge_step=step + 1)
    for path in folder.iterdir():
        path.chmod(PRIVATE)
    return board
