"""What a process knows of its own time and memory."""

import time
from itertools import pairwise
from pathlib import Path


class Laps:
    """Times of steps: by the clock, and by what the process's threads used of the processor."""

    def __init__(self) -> None:
        self._marks = [(time.perf_counter(), time.process_time())]

    def mark(self) -> None:
        self._marks.append((time.perf_counter(), time.process_time()))

    def between(self) -> dict[str, list[float]]:
        pairs = list(pairwise(self._marks))
        return {
            "seconds": [b[0] - a[0] for a, b in pairs],
            "processor_seconds": [b[1] - a[1] for a, b in pairs],
        }


def peak_memory() -> int:
    """-> the most main memory that this process ever held, in bytes (Linux)."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
