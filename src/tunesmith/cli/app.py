"""The table of commands."""

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer

from tunesmith.cli.failure import Stopped

COMMANDS = (
    "quickstart",
    "train",
    "check",
    "plan",
    "compare",
    "sweep",
    "evaluate",
    "gate",
    "card",
    "report",
    "generate",
    "best-of",
    "predict",
    "chat",
    "merge",
    "forget",
    "bases",
)
"""Each is a function of its name in a module of its name."""
GROUPS = ("adapters",)
"""Each is a module of its name with a table of commands."""

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="rich")


def _version(asked: bool) -> None:
    if asked:
        print(f"tunesmith {version('tunesmith')}")
        raise typer.Exit


@app.callback()
def root(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where an error came from. Stands before the command.")
    ] = False,
    asked: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Fine-tune a pretrained language model on your own examples, and prove what it did.

    Begin with [bold]tunesmith quickstart[/bold], then [bold]tunesmith train --data FILE[/bold].
    """


def _passing(command: Callable[..., None]) -> Callable[..., None]:
    """The command, with what typer would answer in its own way carried past it."""

    @wraps(command)
    def run(**given: Any) -> None:
        try:
            command(**given)
        except (KeyboardInterrupt, EOFError, OSError) as error:
            raise Stopped(error) from error

    return run


for _name in COMMANDS:
    _python = _name.replace("-", "_")
    app.command(_name)(_passing(getattr(import_module(f"tunesmith.cli.{_python}"), _python)))
for _name in GROUPS:
    _module = import_module(f"tunesmith.cli.{_name}")
    _group = typer.Typer(no_args_is_help=True, help=_module.HELP, rich_markup_mode="rich")
    for _own, _command in _module.COMMANDS.items():
        _group.command(_own)(_passing(_command))
    app.add_typer(_group, name=_name)
