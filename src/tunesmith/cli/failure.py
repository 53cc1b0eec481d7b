"""The one place where an error becomes a line on stderr and an exit status."""

import os
import shlex
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

INTERRUPTED = 3


class Stopped(Exception):  # noqa: N818 - a carrier
    """Carries KeyboardInterrupt, EOFError and OSError through typer, which has answers of its own to them."""

    def __init__(self, inner: BaseException) -> None:
        super().__init__(str(inner))
        self.inner = inner


def explained(error: BaseException, words: Sequence[str], debug: bool) -> int:
    """Say in one line what went wrong. -> the exit status. `words`: what stood behind `tunesmith`."""
    if isinstance(error, Stopped):
        error = error.inner
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(bool(error.code))
    if isinstance(error, BrokenPipeError):
        _forget_stdout()
        return 1
    if debug:
        traceback.print_exception(error)
    return _said(error, words)


def _said(error: BaseException, words: Sequence[str]) -> int:
    errors = import_module("tunesmith.core.errors")
    if isinstance(error, errors.UserError):
        return _line("error: " + str(error), 2)
    if isinstance(error, errors.Interrupted | KeyboardInterrupt | EOFError):
        return _interrupted(error, words)
    if isinstance(error, errors.RunFailed):
        return _line("error: " + str(error), 1)
    if hasattr(error, "format_message"):  # typer's own: unknown options and commands
        return _line(f"error: {error.format_message()} (see `{_help(words)}`)", 2)
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    again = shlex.join(["tunesmith", "--debug", *(word for word in words if word != "--debug")])
    return _line(f"error: {what}; `{again}` shows where", 1)


def _interrupted(error: BaseException, words: Sequence[str]) -> int:
    said = str(error) or "stopped"
    if words and words[0] in ("train", "quickstart", "compare", "sweep"):
        said = said.partition("; give the same command")[0] + f"; to go on: {shlex.join(['tunesmith', *words])}"
    return _line(said, INTERRUPTED)


def _help(words: Sequence[str]) -> str:
    from tunesmith.cli.app import COMMANDS, GROUPS

    command = next((word for word in words if word in (*COMMANDS, *GROUPS)), None)
    return f"tunesmith {command} --help" if command else "tunesmith --help"


def _line(message: str, status: int) -> int:
    try:
        print("tunesmith:", " ".join(message.split()), file=sys.stderr)
    except BrokenPipeError:
        _forget_stdout()
    return status


def _forget_stdout() -> None:
    """Python flushes once more when it ends, and would complain of the pipe that is gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
