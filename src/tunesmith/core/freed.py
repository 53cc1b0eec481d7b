"""Memory that a process no longer needs goes back to the system, between the stages of a run."""

import ctypes
import gc
import sys


def give_back() -> None:
    """Collect what is unreachable, and hand free pages back: glibc keeps them, and the next stage adds its own to them.

    Elsewhere than on Linux with glibc only the first half is done.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
