"""`tunesmith forget`: what was made with a row, its deletion, and the same without it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tunesmith.erasure.touched import Findings, Touched


Runs = Annotated[Path, typer.Option(metavar="DIR", help="The folder of the runs; all below it are looked at.")]


def forget(
    what: Annotated[
        str,
        typer.Argument(
            metavar="ROW|PERSON",
            help="A row as FILE:NUMBER, as JSON or as sha256; or words, such as a name, to look for in the data files.",
            show_default=False,
        ),
    ],
    runs: Runs = Path("runs"),
    delete: Annotated[bool, typer.Option("--delete", help="Delete what was made with the rows.")] = False,
    retrain: Annotated[bool, typer.Option("--retrain", help="Train the runs again without the rows.")] = False,
    reason: Annotated[str, typer.Option(help="Why, for the record. Do not write the data here.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found and done as JSON.")] = False,
) -> None:
    """Find the runs and adapters that were made with a row; with --delete and --retrain, undo that.

    Without a flag nothing is changed. The rows in your own files are never touched: take them out there yourself, after
    this. With a flag, a line without the data is added to forgotten.jsonl in DIR. Exit status 1 when something could
    not be looked into.
    """
    from tunesmith.cli.ending import to_stderr
    from tunesmith.core.files import dump
    from tunesmith.erasure.deletion import bury
    from tunesmith.erasure.deletion import delete as deleted
    from tunesmith.erasure.retraining import refuse_moved
    from tunesmith.erasure.retraining import retrain as retrained
    from tunesmith.erasure.sought import sought
    from tunesmith.erasure.touched import home, look
    from tunesmith.show import Show

    found = look(runs, sought(what))
    if not as_json:
        print("\n".join(_told(found, delete, retrain)))
    again: dict[Path, Path] = {}
    learned = [one for one in found.runs if one.learned]
    if retrain:
        for one in learned:
            refuse_moved(one)  # before the first of them takes its time
        again = {one.run: retrained(one, Show(to_stderr if as_json else None)) for one in learned}
    if found.runs and (delete or retrain):
        stone = bury(home(runs), found, reason=reason, deleted=delete, retrained=again)
        if delete:
            deleted(found)
        if not as_json:
            print(f"remembered without the data in {stone}")
    if as_json:
        print(dump(_document(found, again, delete)), end="")
    raise typer.Exit(1 if found.doubts else 0)


def _told(found: "Findings", delete: bool, retrain: bool) -> list[str]:
    places = list(found.rows.values())
    shown = "; ".join(places[:10]) + (f"; and {len(places) - 10} more" if len(places) > 10 else "")
    lines = [f"in the files of the runs: {shown}" if places else "no such row stands in the files of the runs now"]
    lines += [f"{one.run}: {_uses(one)}" for one in found.runs]
    lines += [f"{path}: an adapter, {origin}" for path, origin in found.derived.items()]
    lines += [f"not known: {doubt}" for doubt in found.doubts]
    if not found.runs:
        return [*lines, "no run was made with it"]
    plan = _plan(found)
    if not (delete or retrain):
        lines += ["", "nothing was changed", *(f"{flag} {text}" for flag, text in plan.items())]
    else:
        wanted = {"--retrain": retrain, "--delete": delete}
        lines += ["", *(f"now: {text}" for flag, text in plan.items() if wanted[flag])]
    if places:
        lines.append("your own files are not touched: take the rows out there, after that")
    return [*lines, "copies elsewhere, merged models among them, are known by nobody: look for them yourself"]


def _uses(one: "Touched") -> str:
    counted = ", ".join(f"{len(some)} in {part}" for part, some in one.rows.items())
    made = f"; it made {one.artifact} (sha256 {one.sha256[:12]})" if one.artifact and one.sha256 else ""
    verb = "learned from" if one.learned else "was only judged by"
    return f"{verb} such rows: {counted}{made if one.learned else ''}"


def _plan(found: "Findings") -> dict[str, str]:
    from tunesmith.erasure.deletion import leftovers
    from tunesmith.erasure.retraining import place_of

    learned = [one for one in found.runs if one.learned]
    gone = [*(str(one.run) for one in learned), *map(str, found.derived)]
    gone += [str(one.run / name) for one in found.runs if not one.learned for name in leftovers(one)]
    plan = {"--delete": f"deletes {', '.join(gone)}"} if gone else {}
    if learned:
        plan["--retrain"] = "trains " + ", ".join(f"{one.run} again as {place_of(one)}" for one in learned)
    return plan


def _document(found: "Findings", again: dict[Path, Path], deleted: bool) -> dict[str, Any]:
    runs = [
        {
            "run": str(one.run),
            "learned": one.learned,
            "rows": one.rows,
            "artifact": str(one.artifact) if one.artifact else None,
            "deleted": deleted and one.learned,
            "retrained": str(again[one.run]) if one.run in again else None,
        }
        for one in found.runs
    ]
    derived = {str(path): origin for path, origin in found.derived.items()}
    return {"rows": found.rows, "runs": runs, "adapters": derived, "doubts": found.doubts}
