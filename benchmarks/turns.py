"""Tools that do the same work one after the other, in turns, each in a process of its own."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from work import Work

HERE = Path(__file__).parent
WARM_UP = 2  # steps in which kernels are prepared and memory is first touched
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def default_base() -> Path:
    """The default base as a plain folder, fetched and converted when it is not there yet."""
    from tunesmith.bases import resolve
    from tunesmith.catalogue.fetch import default_cache
    from tunesmith.models.gguf import plain_folder

    return plain_folder(resolve("smollm2-135m").path, default_cache(), print)


def run_tool(script: str, arguments: Sequence[str], more: Mapping[str, str]) -> dict[str, Any]:
    """-> the line of JSON that a tool printed. `more`: its environment beside ours."""
    command = [sys.executable, str(HERE / script), *arguments]
    done = subprocess.run(command, env={**os.environ, **OFFLINE, **more}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join([script, *arguments])} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def speed(work: Work, run: dict[str, Any], clock: str) -> float:
    """-> tokens per second, the median over the steps."""
    pairs = list(zip(work.units_of_step(), run[clock], strict=True))
    return median(tokens / seconds for tokens, seconds in pairs[WARM_UP:])


def machine() -> dict[str, Any]:
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", "default"),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), platform.processor())
