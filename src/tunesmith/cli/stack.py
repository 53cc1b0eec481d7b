"""`--with ADAPTER[=STRENGTH]`: adapters over what a command has loaded, one over the other."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunesmith.cli.ending import to_stderr

if TYPE_CHECKING:
    from tunesmith.loaded import Loaded

With = Annotated[
    list[str] | None,
    typer.Option(
        "--with", metavar="ADAPTER[=STRENGTH]", help="Put this adapter or run over it; again to stack more of them."
    ),
]
Insist = Annotated[bool, typer.Option("--insist", help="Also an adapter that was trained on another base.")]


def put_over(loaded: "Loaded", words: Sequence[str] | None, insist: bool) -> None:
    """Load what `words` name and use it, over the adapters that are in use already."""
    wanted = [told_apart(word) for word in words or ()]
    if wanted:
        more = [(loaded.add(place, insist=insist), strength) for place, strength in wanted]
        loaded.use(*loaded.shelf.in_use, *more)
    for one in loaded.adapters:
        for note in one.notes:
            to_stderr(f"note: {one.folder}: {note}")


def told_apart(word: str) -> tuple[str, float]:
    """-> what stands before the strength, and the strength. A path may hold an equals sign itself."""
    place, sign, strength = word.rpartition("=")
    try:
        return (word, 1.0) if not sign or Path(word).exists() else (place, float(strength))
    except ValueError:
        return word, 1.0
