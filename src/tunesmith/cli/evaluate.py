"""`tunesmith evaluate`: base against tuned, measured again, and what else a tuning changed."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunesmith.cli.report import Run

if TYPE_CHECKING:
    from tunesmith.report.suites import SuitesFound


def evaluate(
    run: Run,
    suite: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="What to ask: task, general, slices, calibration, drift, memorisation, crows-pairs, occupations, bbq, "
            "refusals, or all; of a run on pictures of one subject: subject, prompts, class, copies, or all. "
            "Give it several times for several.",
        ),
    ] = None,
    column: Annotated[
        str | None, typer.Option("--slice", metavar="COLUMN", help="Compare by the values of this column of the rows.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(metavar="FILE", help="Other rows in the format of the run's data.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="At most so many items of a suite, or of a part.")
    ] = None,
    margin: Annotated[
        float,
        typer.Option(metavar="SHARE", help="The smallest change that matters: 0.05 is 5 points or percent."),
    ] = 0.05,
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FOLDER", help="Of pictures: a folder of CLIP or DINO that judges beside the small encoder."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found; all else goes to stderr.")] = False,
) -> None:
    """Measure base against tuned model: on the run's test part, on another file, or by suites of questions.

    Without --suite and --slice the run's evaluation.json, examples.json, result.json and report.html are renewed; with
    --data, the numbers go to evaluation/NAME/ in the run folder. Suites are written to suites.json and suites.html;
    what was answered is kept, so that the same command goes on where it was stopped. A run that learned a subject from
    pictures is asked all its suites when none is named.
    """
    from tunesmith.cli.quiet import allow_hub
    from tunesmith.opening import read_run_recipe

    recipe = read_run_recipe(run)
    if recipe.allow_download:
        allow_hub()
    if recipe.objective.eats == "pictures":
        _refuse_unread("pictures", slice=column, data=data, limit=limit)
        _judge_pictures(run, suite or (), encoder or (), margin, as_json)
        return
    _refuse_unread("text", encoder=encoder)

    from tunesmith.again import measure_again, place_of
    from tunesmith.cli.ending import to_stderr
    from tunesmith.core.files import dump
    from tunesmith.report.terminal import print_comparison
    from tunesmith.show import Show
    from tunesmith.suites.course import Asked, renew_task, run_suites

    show = Show(to_stderr)
    if suite or column:
        found = run_suites(run, Asked(tuple(suite or ()), column, data, limit, margin), show)
        if as_json:
            print(dump(found.model_dump(mode="json")), end="")
        else:
            _print(found, place_of(run, data))
        return
    _refuse_idle(limit)
    measured = measure_again(run, data, show)
    renew_task(run, data, margin)
    if as_json:
        print(dump(measured), end="")
        return
    print_comparison(measured)
    if data is None:
        print(f"\nreport: {run / 'report.html'}")
    print(f"what else changed: tunesmith evaluate {shlex.quote(str(run))} --suite all")


def _refuse_unread(kind: str, **given: object) -> None:
    from tunesmith.core.errors import UserError

    for name, value in given.items():
        if value:
            raise UserError(f"--{name}: not read of a run on {kind}; remove it")


def _judge_pictures(run: Path, suites: Sequence[str], encoders: Sequence[str], margin: float, as_json: bool) -> None:
    from tunesmith.cli.ending import to_stderr
    from tunesmith.core.files import dump
    from tunesmith.show import Show
    from tunesmith.studio.again import judge_again

    found = judge_again(run, suites, Show(to_stderr), margin=margin, encoders=encoders)
    if as_json:
        print(dump(found.model_dump(mode="json")), end="")
    else:
        _print(found, run)


def _refuse_idle(limit: int | None) -> None:
    """An option that nothing would read is an error."""
    from tunesmith.core.errors import UserError

    if limit is not None:
        raise UserError("--limit: is for suites; name one with --suite, or all")


def _print(found: "SuitesFound", place: Path) -> None:
    from tunesmith.report.suites_page import NAME
    from tunesmith.report.suites_terminal import print_suites

    print_suites(found)
    print(f"\npage: {place / NAME}")
