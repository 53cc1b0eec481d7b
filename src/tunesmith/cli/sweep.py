"""`tunesmith sweep`: the settings of a recipe by many short runs, judged on validation rows."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunesmith.cli.train import Base, Method, Objective, Words

if TYPE_CHECKING:
    from tunesmith.sweep.asked import Asked


def sweep(
    words: Words = None,
    space: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=SPACE",
            help="A key to search: 'method.rank=[4,8,16]', 'train.learning_rate=log(1e-5,1e-3)' or "
            "'train.warmup=linear(0.0,0.2)'. May be given again.",
        ),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, max=10_000, help="Runs in all, over all calls.")] = 20,
    time: Annotated[
        str | None, typer.Option(metavar="TIME", help="The most time for the trials, as 20m, 90s or 2h.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Trials at one time, each in its own process.")] = 1,
    base: Base = None,
    data: Annotated[str | None, typer.Option(help="A file of examples, or a name of the catalogue.")] = None,
    method: Method = None,
    objective: Objective = None,
    output: Annotated[str | None, typer.Option(help="The sweep's folder. Without it one below runs/.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print sweep.json; all else goes to stderr.")] = False,
) -> None:
    """Search settings of a recipe. Trials are judged on validation rows; the test rows are for the winner, once.

    Trials that fall behind are ended early. The same command goes on where an earlier one was stopped.
    """
    given = {"base": base, "data": data, "method": method, "objective": objective, "output": output}
    wanted = _asked(words or [], space or [], trials, time, workers, **given)

    from tunesmith.cli.ending import to_stderr
    from tunesmith.core.files import dump
    from tunesmith.report.sweep_page import NAME, sentence
    from tunesmith.sweep.search import sweep as searched

    found = searched(wanted, to_stderr if as_json else _print)
    if as_json:
        print(dump(found.document()), end="")
        return
    if found.evaluation is not None:
        from tunesmith.report.terminal import print_comparison

        print()
        print_comparison(found.evaluation.model_dump())
    print(f"\n{sentence(found)}")
    print(f"\nreport: {wanted.folder / NAME}")
    print(f"recipe: {wanted.folder / found.best.recipe}")
    print(f"run:    {wanted.folder / found.best.run}")


def _print(sentence: str) -> None:
    print(sentence, flush=True)


def _asked(words: list[str], space: list[str], trials: int, time: str | None, workers: int, **given: Any) -> "Asked":
    from tunesmith.cli.given import told_apart
    from tunesmith.cli.quiet import allow_hub
    from tunesmith.compare.asked import seconds_of
    from tunesmith.core.errors import UserError
    from tunesmith.recipe import read_values
    from tunesmith.sweep.asked import asked

    path, overrides, others = told_apart(words)
    if others:
        raise UserError(f"`{others[0]}` is neither a recipe (a .yaml file) nor key=value; name data with --data")
    seconds = None if time is None else seconds_of(time, "--time")
    found = asked(read_values(path, overrides, **given), space, trials=trials, time=seconds, workers=workers)
    if found.base.allow_download:
        allow_hub()
    return found
