"""Where a run took place: what must be known to repeat it or to trust its times."""

import hashlib
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from tunesmith.core.files import sha256
from tunesmith.core.network import is_shut

LIBRARIES = ("tunesmith", "torch", "transformers", "safetensors", "bitsandbytes", "numpy")


def environment(device: torch.device, precision: str) -> dict[str, Any]:
    """-> JSON-ready facts. No name of a user, a machine or a path."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "precision": precision,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in LIBRARIES},
        "code_sha256": _code(),
        "network": "off" if is_shut() else "not refused",
    }


def of_child() -> dict[str, str]:
    """-> the variables for a process of ours: those of this one, with this very package found first."""
    source = str(Path(__file__).parents[1])
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])]),
    }


def _code() -> str:
    """-> the sha256 of this package's own Python files: a version number does not tell a changed checkout."""
    folder, whole = Path(__file__).parent, hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        whole.update(f"{path.relative_to(folder)} {sha256(path)}\n".encode())
    return whole.hexdigest()


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
