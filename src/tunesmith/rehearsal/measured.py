"""What a rehearsal measured, as it travels from its process to the plan."""

import sys
from contextlib import suppress
from pathlib import Path

import psutil
import torch
from pydantic import BaseModel, ConfigDict

from tunesmith.train.metrics import peak_memory

STAGES = ("data", "load", "attach", "training", "validation", "checkpoints", "artifact", "proof", "evaluation")
PAINTING = ("data", "load", "attach", "latents", *STAGES[3:])
"""The stages of a run on pictures."""


class Measured(BaseModel):
    """Seconds are those of the whole run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int
    tokens: int
    """Of all steps; of pictures, the places of their latents."""
    tokens_per_pass: int
    seconds: dict[str, float]
    """Of each part of the run."""
    longest: float | None = None
    """Seconds of rollouts and training, were all answers as long as they may be; None where none are written."""
    held: dict[str, int]
    """The most bytes within each stage, in their order: on the GPU when there is one, else resident."""
    beside: int
    """Resident bytes of the run while the proof reads its file in a fresh process."""
    fresh: int
    """Resident bytes of that process."""
    free: int
    """Bytes of memory that were free."""
    checkpoint: int
    """Bytes of one checkpoint."""
    kept: int
    """Checkpoints that are on the disk at one time, at most."""
    artifact: int
    """Bytes of what the run leaves to use."""


def forget_peak(device: torch.device) -> None:
    """`most_held` counts from now on, where the system can forget (Linux, GPUs)."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif sys.platform == "linux":
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def resident() -> int:
    """-> bytes that this process holds now."""
    return int(psutil.Process().memory_info().rss)


def most_held(device: torch.device) -> int:
    """-> the most bytes that this process has held: `peak_memory`, but never what it inherited from its parent."""
    if device.type == "cpu" and sys.platform == "linux":
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return peak_memory(device)


def free_memory(device: torch.device) -> int:
    """-> bytes that a process may still take, this one's own among them."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available + resident()
