"""`tunesmith report`: the page of a run, written again."""

from pathlib import Path
from typing import Annotated

import typer

Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)]


def report(run: Run) -> None:
    """Write report.html of a run again, from the files of its folder, and print its path."""
    from tunesmith.opening import read_run_recipe
    from tunesmith.report.html import write_report

    read_run_recipe(run)  # a folder that is no run gets no report
    print(write_report(run))
