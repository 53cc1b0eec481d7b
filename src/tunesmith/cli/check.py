"""`tunesmith check`: what is in the data, what is doubtful about it, and what a run would make of it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunesmith.cli.train import Base, Objective

if TYPE_CHECKING:
    from tunesmith.doctor.case import Case
    from tunesmith.doctor.finding import Finding
    from tunesmith.doctor.mend import Wish
    from tunesmith.opening import Source
    from tunesmith.recipe import Recipe

_MANY = 20_000  # rows that are read as tokens only for a base that was named

Kinds = Annotated[
    list[str] | None,
    typer.Option(metavar="KIND", help="With --fix: drop rows of this kind of finding too. Repeatable."),
]


def check(
    words: Annotated[
        list[str],
        typer.Argument(metavar="DATA|RECIPE|KEY=VALUE", help="A file of examples or a recipe (.yaml), and keys of it."),
    ],
    base: Base = None,
    objective: Objective = None,
    rows: Annotated[int, typer.Option(min=0, help="How many training rows are shown token by token.")] = 3,
    fix: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT", help="Write the rows again: no doubles, nothing empty, pseudonyms for people; and a log."
        ),
    ] = None,
    balance: Annotated[
        bool, typer.Option("--balance", help="With --fix: as many rows of each label as of the rarest.")
    ] = False,
    drop: Kinds = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND", help="With --fix: leave rows of this kind as they are. Repeatable."),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="An evaluation set that training must not hold. Repeatable."),
    ] = None,
    toxicity: Annotated[
        str | None,
        typer.Option(metavar="FOLDER[:LABEL]", help="A classifier of yours (run or model folder) for toxic texts."),
    ] = None,
    curve: Annotated[bool, typer.Option("--curve", help="How much data labels are likely to need.")] = False,
    report: Annotated[Path | None, typer.Option(metavar="PAGE", help="Write a page (.html) to look at.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="Of pictures: a PNG to write, what is kept of each one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help='Print {"rows", "findings", "facts"}.')] = False,
) -> None:
    """Examine the data: what it holds, what is doubtful and which rows, and which tokens would be trained.

    Lengths in tokens are those of --base; without it those of the default base when that is on this machine and the
    rows are no more than 20,000. The file that is checked is never changed.
    """
    from tunesmith.cli.check_pictures import check_pictures, holds_pictures
    from tunesmith.cli.ending import to_stderr
    from tunesmith.core.errors import UserError

    values = _values(words, base, objective)
    if holds_pictures(values.get("data")):
        check_pictures(values, sheet, as_json)
        return
    if sheet is not None:
        raise UserError("--sheet: only for a folder of pictures")
    recipe, named = _recipe(words, base, objective)
    wish = _wish(fix, balance, drop or (), keep or ())

    from tunesmith.cli.checked import Checked
    from tunesmith.cli.findings import of_tokens
    from tunesmith.doctor.table import examined, in_order
    from tunesmith.opening import found_rows

    if fix is not None:
        _refuse_fix(fix, recipe)
    said: list[str] = []
    say = to_stderr if as_json else said.append
    case = _case(found_rows(recipe, lambda _: None), against or (), toxicity)
    found = examined(case, to_stderr if len(case.entries) > _MANY else lambda _: None)
    source = _source(recipe, case, say) if _wants_tokens(recipe, named, len(case.entries)) else None
    if source is not None:
        found = in_order([*found, *of_tokens(source.recipe.texts, source.prepared)])
    checked = Checked(case, found, source, said)
    document = checked.document(curve)
    if fix is not None:
        document["fixed"] = _fixed(fix, case, found, wish)
    if report is not None:
        from tunesmith.report.checkup import write_checkup

        write_checkup(report, checked.titled(document))
    if as_json:
        from tunesmith.core.files import dump

        print(dump(document), end="")
    else:
        checked.printed(document, rows)
        _print_written(document, report)
    _refuse_too_long(recipe, source)


def _values(words: list[str], base: str | None, objective: str | None) -> dict[str, Any]:
    from tunesmith.cli.given import told_apart
    from tunesmith.core.errors import UserError
    from tunesmith.recipe import read_values

    path, overrides, others = told_apart(words)
    if len(others) > 1 or (path is not None and others):
        raise UserError(f"check: one file of examples or one recipe, not {path or others[0]} and {others[-1]} too")
    return read_values(path, overrides, base=base, objective=objective, data=others[0] if others else None)


def _recipe(words: list[str], base: str | None, objective: str | None) -> "tuple[Recipe, bool]":
    """-> the recipe, and whether a base was named."""
    from tunesmith.cli.given import made, told_apart
    from tunesmith.core.errors import UserError

    path, overrides, others = told_apart(words)
    if len(others) > 1 or (path is not None and others):
        raise UserError(f"check: one file of examples or one recipe, not {path or others[0]} and {others[-1]} too")
    recipe = made(path, overrides, base=base, objective=objective, data=others[0] if others else None)
    return recipe, bool(base or path or any(word.startswith("base=") for word in overrides))


def _wish(fix: Path | None, balance: bool, drop: Sequence[str], keep: Sequence[str]) -> "Wish":
    from tunesmith.core.errors import UserError
    from tunesmith.doctor.mend import Wish

    for option, given in (("--balance", balance), ("--drop", drop), ("--keep", keep)):
        if given and fix is None:
            raise UserError(f"{option}: says what --fix should do; name a new file with --fix OUT.jsonl")
    return Wish(drop, keep, balance).checked()


def _refuse_fix(fix: Path, recipe: "Recipe") -> None:
    from tunesmith.doctor.mend import refuse_place

    files = (*recipe.texts.sources, *(own for own in (recipe.texts.validation, recipe.texts.test) if own))
    refuse_place(fix, files)


def _case(recipe: "Recipe", against: Sequence[str], toxicity: str | None) -> "Case":
    from tunesmith.cli.toxicity import local_judge
    from tunesmith.doctor.reading import read_case, read_texts

    yardsticks = _of_suites() | {name: read_texts(Path(name)) for name in against}
    objective = recipe.objective
    case = read_case(
        recipe.texts, objective.eats, objective.ending, allow_download=recipe.allow_download, yardsticks=yardsticks
    )
    case.judge = local_judge(toxicity) if toxicity is not None else None
    return case


def _of_suites() -> "dict[str, list[str]]":
    """-> the texts that `evaluate --suite` asks, as far as they are on this machine."""
    from tunesmith.catalogue.entries import CATALOGUE
    from tunesmith.catalogue.fetch import fetch, is_here
    from tunesmith.doctor.reading import read_texts
    from tunesmith.suites.occupations import questions
    from tunesmith.suites.refusals import HARMLESS

    general = Path(__file__).parents[1] / "catalogue" / "general.jsonl"
    found = {
        "the speeches by which forgetting is measured": read_texts(general),
        "the harmless questions of the suite refusals": HARMLESS.read_text(encoding="utf-8").splitlines(),
        "the suite occupations": questions(),
    }
    for name, entry in CATALOGUE.items():
        if entry.kind == "probe" and is_here(name):
            found[f"the suite {name}"] = read_texts(fetch(name, allow_download=False))
    return found


def _wants_tokens(recipe: "Recipe", named: bool, count: int) -> bool:
    from tunesmith.catalogue.entries import CATALOGUE
    from tunesmith.catalogue.fetch import is_here

    return named or (count <= _MANY and recipe.base in CATALOGUE and is_here(recipe.base))


def _source(recipe: "Recipe", case: "Case", say: Callable[[str], None]) -> "Source":
    """The rows as tokens, those left out in which something is missing, and too long ones not yet refused."""
    from tunesmith.opening import open_source

    entries = [*case.entries, *(entry for some in case.own.values() for entry in some)]
    blank = frozenset(entry.row.digest for entry in entries if entry.blank is not None)
    if recipe.texts.too_long == "refuse":
        data = recipe.texts.model_copy(update={"too_long": "drop"})
        recipe = recipe.model_copy(update={"data": data})
    return open_source(recipe, say, without=blank)


def _refuse_too_long(recipe: "Recipe", source: "Source | None") -> None:
    """A run as it was asked for would stop here."""
    from tunesmith.core.errors import UserError

    rows = source.prepared.cut.get("too long", []) if source is not None else []
    if rows and recipe.texts.too_long == "refuse":
        most = source.prepared.facts["max_length"] if source is not None else None
        raise UserError(
            f"{rows[0].place}: is longer than {most} tokens, and a run would refuse it; "
            "raise data.max_length, or choose data.too_long=drop or truncate"
        )


def _fixed(fix: Path, case: "Case", found: "list[Finding]", wish: "Wish") -> dict[str, Any]:
    from tunesmith.doctor.mend import mended, write_mended

    done = mended(case, found, wish)
    log = write_mended(fix, done)
    return {"file": str(fix), "log": str(log), "rows": len(done.rows), "why": done.counts}


def _print_written(document: dict[str, Any], report: Path | None) -> None:
    if fixed := document.get("fixed"):
        why = (
            ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in fixed["why"].items())
            or "nothing to change"
        )
        print(f"\nwritten: {fixed['file']}, {fixed['rows']} rows ({why}); each change is a line of {fixed['log']}")
    if report is not None:
        print(f"\nreport: {report}")
