"""The table of a comparison in words: for each method its numbers as a person reads them, on a page or a terminal."""

from dataclasses import dataclass

from tunesmith.report.comparison import FULL, Against, Details, Latency, Row, Value
from tunesmith.report.numbers import count, metric, share, size


@dataclass(frozen=True, slots=True)
class Cell:
    main: str
    small: tuple[str, ...] = ()


HEAD = ("Method", "Quality", "Forgetting", "Time a step", "Memory", "Stored", "A token written")


def cells(row: Row, details: Details) -> list[Cell]:
    """-> as many as `HEAD` has; a method that was refused has its reason in the second."""
    if row.refused is not None:
        return [Cell(row.method), Cell("not compared", (row.refused,)), *[Cell("")] * (len(HEAD) - 2)]
    assert row.trainable is not None and row.total is not None and row.seconds_per_step is not None
    assert row.tokens_per_second is not None and row.peak_memory_bytes is not None and row.stored_bytes is not None
    return [
        Cell(row.method, (f"{count(row.trainable)} trained", f"{share(row.trainable / row.total)} of all")),
        _quality(row, details),
        _forgetting(row, details),
        Cell(seconds(row.seconds_per_step), (f"{count(row.tokens_per_second)} tokens a second",)),
        Cell(size(row.peak_memory_bytes)),
        Cell(size(row.stored_bytes)),
        _latency(row.latency),
    ]


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
