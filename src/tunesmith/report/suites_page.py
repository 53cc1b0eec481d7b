"""`suites.html`: what changed, suite by suite, on one page that loads nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunesmith.core.files import write_text
from tunesmith.report.html import document, unbroken
from tunesmith.report.markup import Html, element, joined, paragraph, shown, table
from tunesmith.report.numbers import Metric, metric, probability
from tunesmith.report.suites import MetricFound, SuiteFound, SuitesFound
from tunesmith.report.svg import interval_chart

NAME = "suites.html"
_WORDS = {"better": "better", "worse": "worse"}
HEAD = ["Metric", "Base", "Tuned", "Difference", "", "Verdict"]


def write_page(folder: Path, found: SuitesFound) -> Path:
    path = folder / NAME
    write_text(path, page(found, folder))
    return path


def page(found: SuitesFound, folder: Path) -> str:
    """-> the whole document."""
    header = element(
        "header",
        element("p", f"tunesmith suites of the run {folder.resolve().name}", class_="kind"),
        element("h1", "What the tuning changed"),
        element("p", unbroken(summary(found)), class_="answer"),
    )
    footer = element("footer", paragraph(_about(found)))
    return document("What the tuning changed", [header, *(_suite(*one) for one in found.suites.items()), footer])


def summary(found: SuitesFound) -> str:
    """-> what got better and worse, in a sentence or two."""
    told: dict[str, list[str]] = {"better": [], "worse": []}
    count = 0
    for name, suite in found.suites.items():
        for one, value in suite.metrics.items():
            count += 1
            if value.verdict in told:
                told[value.verdict].append(f"{shown_as(name, one).label} ({name})")
    parts = [f"{kind.capitalize()}: {', '.join(some)}." for kind, some in told.items() if some]
    parts = parts or ["Nothing is detectably better or worse."]
    return " ".join([*parts, f"{count} numbers in {len(found.suites)} suites, base and tuned model on the same items."])


def shown_as(suite: str, name: str) -> Metric:
    """-> how a metric of a suite is shown: on general text `accuracy` is that of the next word."""
    return (
        metric(f"general_{name}")
        if suite == "general" and name.split("/")[0] in ("accuracy", "perplexity")
        else metric(name)
    )


def _suite(name: str, suite: SuiteFound) -> Html:
    rows = [_row(name, one, value) for one, value in suite.metrics.items()]
    parts: list[object] = [paragraph(f"{suite.about[:1].upper()}{suite.about[1:]}; {suite.items:,} items.")]
    parts.append(table(HEAD, rows, numbers=(1, 2, 3), kind="compared") if rows else paragraph("Nothing was measured."))
    for title, lines in suite.tables.items():
        parts += [element("h3", title[:1].upper() + title[1:]), _table(lines)]
    parts += [paragraph(f"{note[:1].upper()}{note[1:]}.", class_="note") for note in suite.notes]
    return element("section", element("h2", name), joined(parts))


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


def _table(lines: Sequence[dict[str, Any]]) -> Html:
    names = list(lines[0]) if lines else []
    return table(names, [[_cell(line.get(name)) for name in names] for line in lines], numbers=range(1, len(names)))


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else shown(value)


def _about(found: SuitesFound) -> str:
    run = found.run
    return (
        f"Base {run.get('base')}, artifact {str(run.get('artifact_sha256'))[:12]}, "
        f"recipe {str(run.get('recipe'))[:12]}. "
        "Intervals are of 95 %, not corrected; the value of p is corrected for the number of metrics in a suite "
        "(Holm), and the verdict follows it. Equivalent within m: the 90 % interval lies between \u2212m and m."
    )
