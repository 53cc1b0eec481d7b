"""`tunesmith check`: what a run would make of the data, before anything is loaded but the tokenizer."""

from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunesmith.cli.train import Base, Objective

if TYPE_CHECKING:
    from rich.text import Text

    from tunesmith.core.answers import Answers
    from tunesmith.core.batch import Example
    from tunesmith.opening import Source
    from tunesmith.recipe import Recipe


def check(
    words: Annotated[
        list[str],
        typer.Argument(metavar="DATA|RECIPE|KEY=VALUE", help="A file of examples or a recipe (.yaml), and keys of it."),
    ],
    base: Base = None,
    objective: Objective = None,
    rows: Annotated[int, typer.Option(min=0, help="How many training rows are shown token by token.")] = 3,
    sheet: Annotated[Path | None, typer.Option(help="Of pictures: a PNG to write, what is kept of each one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help='Print {"rows", "findings", "facts"}.')] = False,
) -> None:
    """Read the data as a run would: what it holds, what is doubtful, and which tokens are trained."""
    from tunesmith.cli.check_pictures import check_pictures, holds_pictures
    from tunesmith.cli.ending import to_stderr
    from tunesmith.core.errors import UserError

    values = _values(words, base, objective)
    if holds_pictures(values.get("data")):
        check_pictures(values, sheet, as_json)
        return
    if sheet is not None:
        raise UserError("--sheet: only for a folder of pictures")
    recipe = _recipe(words, base, objective)

    from tunesmith.cli.findings import findings, sentence
    from tunesmith.core.files import dump
    from tunesmith.opening import open_source

    said: list[str] = []
    source = open_source(recipe, to_stderr if as_json else said.append)
    prepared = source.prepared
    found = findings(source.recipe.texts, prepared)
    if as_json:
        facts = prepared.facts | {"said": prepared.said, "lengths": _lengths(prepared.train)}
        print(dump({"rows": prepared.facts["rows_read"], "findings": found, "facts": facts}), end="")
        return
    print("\n".join([*said, *prepared.said]))
    _print_parts(source)
    print("\n".join(map(sentence, found)) or "nothing doubtful was found")
    if rows:
        _print_rows(source, rows)


def _values(words: list[str], base: str | None, objective: str | None) -> dict[str, Any]:
    from tunesmith.cli.given import told_apart
    from tunesmith.core.errors import UserError
    from tunesmith.recipe import read_values

    path, overrides, others = told_apart(words)
    if len(others) > 1 or (path is not None and others):
        raise UserError(f"check: one file of examples or one recipe, not {path or others[0]} and {others[-1]} too")
    return read_values(path, overrides, base=base, objective=objective, data=others[0] if others else None)


def _recipe(words: list[str], base: str | None, objective: str | None) -> "Recipe":
    from tunesmith.cli.given import made, told_apart

    path, overrides, others = told_apart(words)
    return made(path, overrides, base=base, objective=objective, data=others[0] if others else None)


def _lengths(examples: list["Example"]) -> dict[str, Any]:
    lengths = sorted(map(len, examples))
    ninety = lengths[min(len(lengths) - 1, int(0.9 * len(lengths)))]
    return {"shortest": lengths[0], "median": median(lengths), "p90": ninety, "longest": lengths[-1]}


def _print_parts(source: "Source") -> None:
    from tunesmith.report.numbers import count

    facts, lengths = source.prepared.facts, _lengths(source.prepared.train)
    head = ("part", "rows", "examples", "tokens", "trained", *facts["labels"])
    lines = [head]
    for part, sizes in facts["parts"].items():
        numbers = [sizes[key] for key in ("rows", "examples", "tokens", "trained_tokens")]
        numbers += [sizes["labels"].get(label, 0) for label in facts["labels"]]
        lines.append((part, *map(count, numbers)))
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    print()
    for name, *cells in lines:
        print("  ".join([name.ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells, widths[1:], strict=True))]))
    print("\ntokens in a training example: " + ", ".join(f"{key} {value:g}" for key, value in lengths.items()))


def _print_rows(source: "Source", rows: int) -> None:
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    drawn = console.is_terminal and not console.no_color
    console.print()
    console.print(_shown("trained", True, drawn), "is learned,", _shown("context", False, drawn), "is only read")
    for example in source.prepared.train[:rows]:
        for name, part in _parts(example):
            console.print(f"\nrow {example.row}{name}: {len(part)} tokens, {part.trained_tokens} of them trained")
            console.print(_coloured(part, source, drawn), soft_wrap=True)


def _parts(example: "Example") -> list[tuple[str, "Example"]]:
    """-> the answers of a row that has several, each with its name, or the row itself."""
    from tunesmith.core.answers import Answers

    if not isinstance(example, Answers):
        return [("", example)]
    names = [f", answer {place}{_worth(example, place - 1)}" for place in range(1, example.count + 1)]
    return list(zip(names, example.paths, strict=True))


def _worth(tree: "Answers", place: int) -> str:
    if tree.wanted:
        return " (wanted)" if tree.wanted[place] else " (unwanted)"
    wins, losses = (sum(pair[side] == place for pair in tree.better) for side in (0, 1))
    return " (the better one)" if not losses else " (the worse one)" if not wins else ""


def _coloured(example: "Example", source: "Source", drawn: bool) -> "Text":
    from rich.text import Text

    from tunesmith.data.show import spans

    return Text().join(_shown(text, trained, drawn) for text, trained in spans(example, source.tokenizer))


def _shown(text: str, trained: bool, drawn: bool) -> "Text":
    """Green or dim on a terminal; in brackets or not elsewhere."""
    from rich.text import Text

    if not drawn:
        return Text(f"⟦{text}⟧" if trained else text)
    return Text(text, style="bold green" if trained else "dim")
