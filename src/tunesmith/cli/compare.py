"""`tunesmith compare`: several methods on the same data, one table and one picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunesmith.cli.train import METHODS, Base, Words

if TYPE_CHECKING:
    from tunesmith.compare.asked import Asked


def compare(
    words: Words = None,
    methods: Annotated[str, typer.Option(metavar="NAME,NAME", help=f"Some of {', '.join(METHODS)}.")] = "full,lora",
    recipe: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FILE", help="A recipe (.yaml) with settings of one method. May be given again."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Runs of each method, each with its own seed.")] = 3,
    budget: Annotated[
        str | None, typer.Option(metavar="TIME", help="The most time for everything, as 20m, 90s or 1.5h.")
    ] = None,
    learning_curve: Annotated[
        bool, typer.Option("--learning-curve", help="Train on 10 % and 30 % of the rows as well.")
    ] = False,
    base: Base = None,
    data: Annotated[str | None, typer.Option(help="A file of examples, or a name of the catalogue.")] = None,
    output: Annotated[str | None, typer.Option(help="The comparison's folder. Without it one below runs/.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print compare.json; all else goes to stderr.")] = False,
) -> None:
    """Train several methods on the same rows, and say which one to take.

    Each method gets a learning rate by trial, and runs in processes of its own, in turn with the others. With --budget
    the runs are made short enough, the same for all. The same command goes on where an earlier one was stopped.
    """
    given = _asked(
        words or [], methods, recipe or [], seeds, budget, learning_curve, base=base, data=data, output=output
    )

    from tunesmith.cli.ending import to_stderr
    from tunesmith.compare.comparison import compare as compared
    from tunesmith.core.files import dump
    from tunesmith.report.comparison_page import NAME
    from tunesmith.report.comparison_terminal import print_table

    found = compared(given, to_stderr if as_json else _print)
    if as_json:
        print(dump(found.document()), end="")
        return
    print()
    print_table(found)
    print(f"\n{found.details.sentence}")
    for doubt in found.details.doubts:
        print(f"doubt: {doubt}")
    print(f"\nreport: {given.folder / NAME}")


def _print(sentence: str) -> None:
    print(sentence, flush=True)


def _asked(
    words: list[str],
    methods: str,
    recipes: list[str],
    seeds: int,
    budget: str | None,
    curve: bool,
    **given: Any,
) -> "Asked":
    from tunesmith.cli.given import told_apart
    from tunesmith.cli.quiet import allow_hub
    from tunesmith.compare.asked import asked, seconds_of
    from tunesmith.core.errors import UserError
    from tunesmith.recipe import read_values

    path, overrides, others = told_apart(words)
    if others:
        raise UserError(f"`{others[0]}` is neither a recipe (a .yaml file) nor key=value; name data with --data")
    found = asked(
        read_values(path, overrides, **given),
        [name.strip() for name in methods.split(",") if name.strip()],
        dict(map(_own, recipes)),
        seeds=seeds,
        budget=None if budget is None else seconds_of(budget),
        learning_curve=curve,
    )
    if found.shared().allow_download:
        allow_hub()
    return found


def _own(text: str) -> tuple[str, dict[str, Any]]:
    from tunesmith.core.errors import UserError
    from tunesmith.recipe import read_values

    name, equals, path = text.partition("=")
    if not equals or not name or not path:
        raise UserError(f"--recipe: `{text}` must be NAME=FILE, for example lora=my-lora.yaml")
    return name.strip(), read_values(Path(path.strip()))
