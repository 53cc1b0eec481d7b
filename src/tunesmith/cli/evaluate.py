"""`tunesmith evaluate`: base against tuned, measured again."""

from typing import Annotated

import typer

from tunesmith.cli.report import Run


def evaluate(
    run: Run,
    data: Annotated[
        str | None, typer.Option(metavar="FILE", help="Other rows in the format of the run's data.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the evaluation; all else goes to stderr.")] = False,
) -> None:
    """Measure base against tuned model: on the run's test part, or on another file.

    Without --data the run's evaluation.json, examples.json, result.json and report.html are renewed; with it, the
    numbers go to evaluation/NAME/ in the run folder.
    """
    from tunesmith.cli.quiet import allow_hub
    from tunesmith.opening import read_run_recipe

    if read_run_recipe(run).allow_download:
        allow_hub()

    from tunesmith.again import measure_again
    from tunesmith.cli.ending import to_stderr
    from tunesmith.core.files import dump
    from tunesmith.report.terminal import print_comparison
    from tunesmith.show import Show

    found = measure_again(run, data, Show(to_stderr))
    if as_json:
        print(dump(found), end="")
        return
    print_comparison(found)
    if data is None:
        print(f"\nreport: {run / 'report.html'}")
