"""The command line: `main` is what the command `tunesmith` calls. One file a command, heavy imports inside."""

import sys
from collections.abc import Sequence
from itertools import takewhile

from tunesmith.cli.app import app
from tunesmith.cli.failure import explained
from tunesmith.cli.quiet import hush


def main(words: Sequence[str] | None = None) -> int:
    """-> the exit status: 0 success, 1 anything else, 2 the user's input, 3 interrupted. `words`: None for sys.argv."""
    words = list(sys.argv[1:] if words is None else words)
    debug = "--debug" in takewhile(lambda word: word.startswith("-"), words)
    hush(debug)
    try:
        status = app(words, prog_name="tunesmith", standalone_mode=False)
        sys.stdout.flush()
    except BaseException as error:
        return explained(error, words, debug)
    return int(status or 0)
