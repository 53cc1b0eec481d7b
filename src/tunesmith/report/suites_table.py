"""Metrics of suites as a table: base, tuned, the difference with its interval drawn, and the words."""

from collections.abc import Iterable, Sequence

from tunesmith.report.document import MetricFound
from tunesmith.report.markup import Html, element, joined, table
from tunesmith.report.numbers import Metric, metric, probability
from tunesmith.report.svg import interval_chart

HEAD = ["Metric", "Base", "Tuned", "Difference", "", "Verdict"]
_WORDS = {"better": "better", "worse": "worse"}


def compared(found: Iterable[tuple[str, str, MetricFound]]) -> Html:
    """-> the table of metrics, each as suite, name and what was found."""
    return table(HEAD, [_row(*one) for one in found], numbers=(1, 2, 3), kind="compared")


def shown_as(suite: str, name: str) -> Metric:
    """-> how a metric of a suite is shown: on general text `accuracy` is that of the next word."""
    return (
        metric(f"general_{name}")
        if suite == "general" and name.split("/")[0] in ("accuracy", "perplexity")
        else metric(name)
    )


def _row(suite: str, name: str, found: MetricFound) -> Sequence[object]:
    how, scale = shown_as(suite, name), max(abs(found.base), abs(found.tuned))
    may = (found.base + found.low, found.base + found.high)
    ends = _ends(how, found, may)
    chart = interval_chart(found.base, found.tuned, may, ends, f"{how.label}: {found.verdict}")
    words, _, more = found.verdict.partition(" (")
    told = [element("small", f"({more}")] if more else []
    p = [] if found.p is None else [element("small", probability(found.p))]
    between = f"{how.change(found.low, scale, unit=False)} to {how.change(found.high, scale, unit=False)}"
    return (
        joined([how.label, element("small", how.meaning)] if how.meaning else [how.label]),
        how.value(found.base, found.tuned),
        element("b", how.value(found.tuned, found.base)),
        joined([how.change(found.difference, scale), element("small", between)]),
        Html(chart),
        element("span", words, *told, *p, class_=f"verdict {_WORDS.get(words, 'same')}"),
    )


def _ends(how: Metric, found: MetricFound, may: tuple[float, float]) -> tuple[float, float]:
    """-> the ends of the line that the interval is drawn on: zero to the top, or what holds all of it."""
    if how.top is not None and found.base >= 0 and found.tuned >= 0:
        return 0.0, how.top
    lowest, highest = min(found.base, found.tuned, *may), max(found.base, found.tuned, *may)
    room = 0.15 * (highest - lowest) or 1.0
    return lowest - room, highest + room
