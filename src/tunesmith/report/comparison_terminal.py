"""The table of a comparison for a terminal: drawn where there is one, aligned plain text elsewhere."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tunesmith.report.comparison import Comparison, Details, Row
from tunesmith.report.comparison_cells import cells, ends, fact, fact_label, facts, seconds, value
from tunesmith.report.numbers import metric, share, size

_LEFT = 9  # from this column on nothing is a single number


def print_table(found: Comparison, console: Console | None = None) -> None:
    """The table, and below it why a method is missing."""
    console = console or Console()
    quality, compared = metric(found.details.base_quality.metric).label, [r for r in found.rows if r.refused is None]
    if found.details.paints:
        names = facts(compared)
        head = ("Method", "Trained", "Memory", "Step", "Pictures/s", "Stored", quality, "95 % interval",
                *map(fact_label, names))  # fmt: skip
        lines = [_painted(row, names) for row in compared]
    else:
        head = ("Method", "Trained", "Memory", "Step", "Tokens/s", "Stored", quality, "95 % interval", "Forgetting",
                "Token on / off / merged")  # fmt: skip
        lines = [_line(row, found.details) for row in compared]
    if console.is_terminal:
        console.print(_drawn(head, lines, found.details.recommended))
    else:
        console.print("\n".join(_aligned([head, *lines])), markup=False, highlight=False, soft_wrap=True)
    for row in found.rows:
        if row.refused is not None:
            console.print(f"{row.method}: {row.refused}", markup=False, highlight=False, soft_wrap=True)


def _line(row: Row, details: Details) -> tuple[str, ...]:
    _, quality, forgetting, step, memory, stored, _ = cells(row, details)
    assert row.trainable is not None and row.total is not None and row.quality is not None
    latency = row.latency
    times = (latency.on, latency.off, latency.merged) if latency else ()
    return (
        row.method,
        share(row.trainable / row.total),
        memory.main,
        step.main,
        f"{row.tokens_per_second:,.0f}",
        stored.main,
        quality.main,
        ends(row.quality),
        forgetting.main,
        " / ".join("-" if one is None else seconds(one) for one in times),
    )


def _painted(row: Row, names: list[str]) -> tuple[str, ...]:
    assert row.trainable is not None and row.total is not None and row.quality is not None
    assert row.peak_memory_bytes is not None and row.seconds_per_step is not None and row.stored_bytes is not None
    return (
        row.method,
        share(row.trainable / row.total),
        size(row.peak_memory_bytes),
        seconds(row.seconds_per_step),
        f"{row.pictures_per_second or 0:.3g}",
        size(row.stored_bytes),
        value(row.quality),
        ends(row.quality),
        *(fact(row, name) for name in names),
    )


def _drawn(head: tuple[str, ...], lines: list[tuple[str, ...]], recommended: str | None) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column, title in enumerate(head):
        table.add_column(title, justify="right" if 0 < column < _LEFT else "left")
    for line in lines:
        table.add_row(*(Text(cell) for cell in line), style="bold" if line[0] == recommended else "")
    return table


def _aligned(lines: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return [
        "  ".join(
            cell.rjust(width) if 0 < column < _LEFT else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
