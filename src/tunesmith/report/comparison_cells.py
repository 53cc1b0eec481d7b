"""The table of a comparison in words: for each method its numbers as a person reads them, on a page or a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass

from tunesmith.report.comparison import FULL, Against, Details, Latency, Row, Value
from tunesmith.report.numbers import count, metric, share, size


@dataclass(frozen=True, slots=True)
class Cell:
    main: str
    small: tuple[str, ...] = ()


HEAD = ("Method", "Quality", "Forgetting", "Time a step", "Memory", "Stored", "A token written")
PAINTED = ("Method", "Quality", "Time a step", "Memory", "Stored")


def head(rows: Sequence[Row], details: Details) -> tuple[str, ...]:
    """-> the titles of the columns; of pictures, those of what else is known of all rows are among them."""
    return (*PAINTED, *(fact_label(name) for name in facts(rows))) if details.paints else HEAD


def facts(rows: Sequence[Row]) -> list[str]:
    """-> the names of what the results of runs on pictures say beside the quality."""
    return list(dict.fromkeys(name for row in rows for name in row.facts or ()))


def fact_label(name: str) -> str:
    return metric(_bare(name)).label


def fact(row: Row, name: str) -> str:
    found = (row.facts or {}).get(name)
    return "-" if found is None else metric(_bare(name)).value(found)


def _bare(name: str) -> str:
    """Without the suite that a metric is of."""
    return name.rpartition(".")[2]


def cells(row: Row, details: Details, names: Sequence[str] = ()) -> list[Cell]:
    """-> as many as `head` has, the facts `names` last; a method that was refused has its reason in the second."""
    width = len(PAINTED) + len(names) if details.paints else len(HEAD)
    if row.refused is not None:
        return [Cell(row.method), Cell("not compared", (row.refused,)), *[Cell("")] * (width - 2)]
    assert row.trainable is not None and row.total is not None and row.seconds_per_step is not None
    assert row.tokens_per_second is not None and row.peak_memory_bytes is not None and row.stored_bytes is not None
    named = Cell(row.method, (f"{count(row.trainable)} trained", f"{share(row.trainable / row.total)} of all"))
    sizes = [Cell(size(row.peak_memory_bytes)), Cell(size(row.stored_bytes))]
    if details.paints:
        pace = f"{row.pictures_per_second or 0:.3g} pictures a second"
        step = Cell(seconds(row.seconds_per_step), (pace,))
        return [named, _quality(row, details), step, *sizes, *(Cell(fact(row, name)) for name in names)]
    step = Cell(seconds(row.seconds_per_step), (f"{count(row.tokens_per_second)} tokens a second",))
    return [named, _quality(row, details), _forgetting(row, details), step, *sizes, _latency(row.latency)]


def seconds(value: float) -> str:
    return f"{1000 * value:.{0 if value >= 0.01 else 1}f} ms" if value < 1 else f"{value:.2f} s"


def value(found: Value) -> str:
    return metric(found.metric).value(found.mean)


def ends(found: Value) -> str:
    how = metric(found.metric)
    return f"{how.value(found.low, found.high)} to {how.value(found.high, found.low)}"


def against(found: Against, name: str, metric_name: str, words: tuple[str, str] = ("better", "worse")) -> str:
    """-> `better than the base: +5.1 points`, or that no difference was detected."""
    how, kind = metric(metric_name), found.verdict.partition(" (")[0]
    if kind in ("better", "worse"):
        return f"{words[kind == 'worse']} than {name}: {how.change(found.mean)}"
    return f"like {name}: {how.change(found.low, unit=False)} to {how.change(found.high)}"


def _quality(row: Row, details: Details) -> Cell:
    assert row.quality is not None
    small = [ends(row.quality), against(details.against_base[row.method], "the base", row.quality.metric)]
    if (paired := details.against_full(row.method)) is not None:
        small.append(against(paired, FULL, row.quality.metric))
    return Cell(value(row.quality), tuple(small))


def _forgetting(row: Row, details: Details) -> Cell:
    if row.forgetting is None:
        return Cell("not measured")
    how, accuracy = metric(row.forgetting.metric), details.general_accuracy[row.method]
    verdict = details.forgetting_verdict[row.method].partition(" (")[0]
    said = {"worse": "forgets", "better": "nothing forgotten"}.get(verdict, "none detected")
    between = f"{how.change(row.forgetting.low)} to {how.change(row.forgetting.high)}"
    small = [between, said]
    if (paired := details.forgetting_against_full(row.method)) is not None:
        small.append(against(paired, FULL, row.forgetting.metric, ("less", "more")))
    small.append(f"next word right {metric('general_accuracy').change(accuracy.mean)}")
    return Cell(how.change(row.forgetting.mean), tuple(small))


def _latency(latency: Latency | None) -> Cell:
    if latency is None:
        return Cell("not timed")
    merged = "cannot be merged" if latency.merged is None else f"merged {seconds(latency.merged)}"
    return Cell(seconds(latency.on), (f"base {seconds(latency.off)}", merged))
