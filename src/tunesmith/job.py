"""A job in a process of its own: it reads what is asked as JSON, and writes a line of JSON at its end."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

from tunesmith.core.errors import Interrupted, RunFailed, UserError
from tunesmith.core.network import inherit
from tunesmith.environment import of_child

Asked = dict[str, Any]
Worker = Callable[[Asked], Asked]


def begun(module: str, **pipes: Any) -> "subprocess.Popen[str]":
    """-> the process; its bars and warnings go to our stderr, if `pipes` do not say otherwise."""
    return subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=of_child() | {"PYTHONWARNINGS": "ignore"},
        start_new_session=True,  # Ctrl-C reaches us alone, and we pass it on
        **pipes,
    )


def answer(out: str, status: int, stopped: bool = False) -> Asked:
    """-> what the job found. Raises what the job raised: UserError, RunFailed, and Interrupted when a signal came."""
    found = json.loads(out.splitlines()[-1]) if out.strip() else {}
    if stopped or "interrupted" in found:
        raise Interrupted("stopped")
    if "done" in found:
        done: Asked = found["done"]
        return done
    if "refused" in found:
        raise UserError(found["refused"])
    raise RunFailed(found.get("failed") or _ended(status))


def _ended(status: int) -> str:
    """Why a process ended without a word."""
    if status == -signal.SIGKILL:
        return "it was stopped by the system, most likely because the memory was not enough"
    return f"its process ended with status {status}; its last lines are above"


def serve(jobs: Mapping[str, Worker]) -> None:
    """Do the one of `jobs` that stdin asks for: the other side of `begun` and `answer`."""
    inherit()
    # What libraries print must not stand between our lines.
    lines = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    sys.stdout = sys.stderr
    asked = json.load(sys.stdin)
    said: Asked
    try:
        said = {"done": jobs[asked.pop("job")](asked)}
    except UserError as error:
        said = {"refused": str(error)}
    except RunFailed as error:
        said = {"failed": str(error)}
    except (Interrupted, KeyboardInterrupt):
        said = {"interrupted": {}}
    except Exception as error:
        said = {"failed": " ".join(f"{type(error).__name__}: {error}".split())[:400]}
    print(json.dumps(said), file=lines, flush=True)
