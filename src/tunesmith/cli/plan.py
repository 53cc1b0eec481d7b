"""`tunesmith plan`: memory, disk and time of a run, before it."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from tunesmith.cli.train import Base, Method, Objective, Words

if TYPE_CHECKING:
    from tunesmith.plan import Plan


def plan(
    words: Words = None,
    base: Base = None,
    data: Annotated[str | None, typer.Option(help="A file of examples, a folder of pictures, or a name.")] = None,
    method: Method = None,
    objective: Objective = None,
    output: Annotated[str | None, typer.Option(help="The run folder, on whose disk the room is measured.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; all else goes to stderr.")] = False,
) -> None:
    """Say how much memory, disk and time `train` will take with the same words, from some timed passes.

    Nothing is trained and nothing is kept, except a base that had to be downloaded or converted.
    """
    from tunesmith.cli.given import recipe_of

    given = {"base": base, "data": data, "method": method, "objective": objective, "output": output}
    recipe = recipe_of(words or (), **given)

    from tunesmith.cli.ending import to_stderr
    from tunesmith.core.files import dump
    from tunesmith.plan import plan as made
    from tunesmith.show import Show

    found = made(recipe, Show(to_stderr if as_json else None))
    print(dump(found.document()) if as_json else "\n" + "\n".join(lines(found)) + "\n", end="")
    for warning in found.warnings:
        print(f"warning: {warning}", file=sys.stderr)


def lines(found: "Plan") -> list[str]:
    """A table for a person, and what would make the run smaller."""
    from tunesmith.report.numbers import count, duration, share, size

    m = found.measured
    beside = f"; {size(found.machine_memory)} with the second process of the proof"
    rows = [
        ("Time", duration(found.seconds), f"{count(m.steps)} steps of {count(m.tokens / m.steps)} {found.unit}"),
        *(
            (f"  {part}", duration(seconds), share(seconds / found.seconds))
            for part, seconds in m.seconds.items()
            if seconds
        ),
        (
            "Memory",
            size(found.memory),
            f"of {size(m.free)} that are free{beside if found.machine_memory > found.memory else ''}",
        ),
        ("Disk", size(sum(found.disk.values())), f"of {size(found.free_disk + found.fetched)} that were free"),
        *((f"  {part}", size(taken), _disk(part, found)) for part, taken in found.disk.items() if taken),
    ]
    return [*_aligned(rows), "", *found.sentences]


def _disk(part: str, found: "Plan") -> str:
    from tunesmith.report.numbers import size

    said = {
        "checkpoints": f"{found.measured.kept} of {size(found.measured.checkpoint)} at one time",
        "cache": "there already: the base, for every run with it",
    }
    return said.get(part, "")


def _aligned(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return [f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]}".rstrip() for row in rows]
