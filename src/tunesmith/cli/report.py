"""`tunesmith report`: the page of a run or of a comparison, written again."""

from pathlib import Path
from typing import Annotated

import typer

Run = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="A run folder, or that of a comparison.", show_default=False)
]


def report(run: Run) -> None:
    """Write report.html of a run again, or compare.html of a comparison, from the files of the folder.

    Prints the path of the page.
    """
    from tunesmith.compare.asked import NAME as ASKED
    from tunesmith.report.comparison import NAME, Comparison
    from tunesmith.report.comparison_page import write_page

    if (run / NAME).is_file() or (run / ASKED).is_file():
        print(write_page(run, Comparison.read(run)))
        return

    from tunesmith.opening import read_run_recipe
    from tunesmith.report.html import write_report

    read_run_recipe(run)  # a folder that is no run gets no report
    print(write_report(run))
