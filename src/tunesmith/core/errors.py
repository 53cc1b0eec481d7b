"""What can go wrong, by who can put it right. The command line turns each kind into an exit status."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(ValueError):
    """The input must change: one line that names the file, row or key and says what to do. Exit status 2."""


class RunFailed(RuntimeError):  # noqa: N818 - what happened, as the user would say it
    """A run could not end well: not-a-number, a failed proof, a disk that fails. Exit status 1."""


class Interrupted(Exception):  # noqa: N818 - not an error: the user asked for it
    """The run stopped at a step boundary and can be resumed by the same command. Exit status 3."""


def near(name: str, known: Iterable[str]) -> str:
    """-> '; did you mean `rank`?', or nothing when no known name is close."""
    close = get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(f'`{c}`' for c in close)}?" if close else ""
