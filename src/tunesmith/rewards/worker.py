"""The other end of a reward: a process that loads one Python file and answers with a number for each line it is given.

Run as a script (`python -P worker.py FILE NAME [OPTION]`), never imported: nothing of ours is loaded into it. Lines of
JSON come in, lines of JSON go out, by descriptors that the loaded code does not know; what it prints goes nowhere.
"""

import ctypes
import importlib.util
import inspect
import json
import math
import os
import sys
import traceback
from typing import Any


def load(path: str, name: str, option: list[str]) -> Any:
    """-> the function. With `option`, `name` is a key of the file's VERIFIERS, which makes one of it."""
    spec = importlib.util.spec_from_file_location("reward", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["reward"] = module
    spec.loader.exec_module(module)
    if option:
        return module.VERIFIERS[name](json.loads(option[0]))
    function = getattr(module, name, None)
    if function is None:
        raise Refused("missing", sorted(n for n, v in vars(module).items() if callable(v) and not n.startswith("_")))
    if not callable(function):
        raise Refused("not callable", type(function).__name__)
    try:
        inspect.signature(function).bind("", "", {})
    except TypeError:
        raise Refused("signature", str(inspect.signature(function))) from None
    except ValueError:
        pass  # written in another language: it does not tell
    return function


class Refused(Exception):  # noqa: N818 - becomes a sentence at the other end
    def __init__(self, why: str, more: object) -> None:
        super().__init__(why)
        self.why, self.more = why, more


def number(value: Any) -> dict[str, Any]:
    """-> the reply: a finite number, or what came instead."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()  # of numpy or torch
    if not isinstance(value, int | float):
        size = f" of length {len(value)}" if isinstance(value, list | tuple | dict | str) else ""
        return {"not_number": "None" if value is None else f"a {type(value).__name__}{size}"}
    try:
        value = float(value)
    except OverflowError:
        value = math.inf
    return {"value": value} if math.isfinite(value) else {"not_number": str(value)}


def failure(error: BaseException, path: str) -> dict[str, Any]:
    """-> the reply: the error, and the last line of the file that it came by."""
    line = next((f.lineno for f in reversed(traceback.extract_tb(error.__traceback__)) if f.filename == path), None)
    words = str(error).splitlines() or [""]
    return {"error": f"{type(error).__name__}: {words[0][:300]}".rstrip(": "), "line": line}


def main(path: str, name: str, *option: str) -> None:
    asked, told = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    for number_ in (0, 1, 2):  # what the loaded code reads is empty, what it prints goes nowhere
        os.dup2(os.open(os.devnull, os.O_RDWR), number_)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG: it ends with the run, even in the middle of a call

    def tell(reply: dict[str, Any]) -> None:
        told.write(json.dumps(reply).encode() + b"\n")
        told.flush()

    try:
        function = load(path, name, list(option))
    except Refused as refused:
        tell({"refused": refused.why, "more": refused.more})
        return
    except (Exception, SystemExit) as error:
        tell(failure(error, path))
        return
    tell({"ready": True})
    for line in asked:
        try:
            reply = number(function(*json.loads(line)))
        except (Exception, SystemExit) as error:
            reply = failure(error, path)
        tell(reply)


if __name__ == "__main__":
    main(*sys.argv[1:])
