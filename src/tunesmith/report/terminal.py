"""The before/after table for a terminal: drawn where there is one, aligned plain text elsewhere."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tunesmith.report.answer import number, values, verdict
from tunesmith.report.folder import RunFiles
from tunesmith.report.numbers import in_order, metric, probability

HEAD = ("Metric", "Base", "Tuned", "Difference", "95 % interval", "Test", "Verdict")
_COLOURS = {"better": "green", "worse": "red"}
_RIGHT = (1, 2, 3)
_TEST = 5  # the column of p
_WIDE = 110  # columns of a terminal that has room for p and the size that could have been seen


def print_comparison(evaluation: Mapping[str, Any], console: Console | None = None) -> None:
    """Print what changed; `evaluation` is the content of evaluation.json, or that part of result.json."""
    console = console or Console()
    found = rows(evaluation)
    if not found:
        console.print("Base and tuned model were not compared.", markup=False, highlight=False)
    elif console.is_terminal:
        console.print(_drawn(found, narrow=console.width < _WIDE))
    else:
        console.print("\n".join(_aligned([HEAD, *found])), markup=False, highlight=False, soft_wrap=True)


def rows(evaluation: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """-> a line of `HEAD` for each metric, the task's before the general text's."""
    files = RunFiles("", evaluation=dict(evaluation))
    before = evaluation.get("before") or {}
    return [_row(files, name) for name in in_order(before) if values(files, name)]


def _row(files: RunFiles, name: str) -> tuple[str, ...]:
    first, second = values(files, name) or (0.0, 0.0)
    how, scale = metric(name), max(first, second)
    differences = files.evaluation.get("difference")
    given = differences.get(name) if isinstance(differences, dict) else None
    low, high, p = (number(given, key) for key in ("low", "high", "p"))
    between = "" if low is None or high is None else f"{_end(name, low, scale)} to {_end(name, high, scale)}"
    return (
        how.label,
        how.value(first, second),
        how.value(second, first),
        how.change(second - first, scale),
        between,
        "" if p is None else probability(p),
        verdict(files, name),
    )


def _end(name: str, value: float, scale: float) -> str:
    return metric(name).change(value, scale, unit=False)


def _drawn(found: Sequence[tuple[str, ...]], narrow: bool) -> Table:
    """Where it is narrow, p and the size that could have been seen are left to the report."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column, title in enumerate(HEAD):
        if not (narrow and column == _TEST):
            table.add_column(title, justify="right" if column in _RIGHT else "left", no_wrap=0 < column <= _TEST)
    for *cells, words in found:
        kind = words.partition(" (")[0]
        styled = [Text(cell, style="bold" if column in (0, 2) else "") for column, cell in enumerate(cells)]
        if narrow:
            del styled[_TEST]
        table.add_row(*styled, Text(kind if narrow else words, style=_COLOURS.get(kind, "dim")))
    return table


def _aligned(lines: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    return [
        "  ".join(
            cell.rjust(width) if column in _RIGHT else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
