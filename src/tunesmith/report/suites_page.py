"""`suites.html`: what changed, suite by suite, on one page that loads nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunesmith.core.files import write_text
from tunesmith.report.html import document, unbroken
from tunesmith.report.markup import Html, element, joined, paragraph, shown, table
from tunesmith.report.pictures import grids
from tunesmith.report.suites import SuiteFound, SuitesFound
from tunesmith.report.suites_table import compared, shown_as

NAME = "suites.html"


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
    return document(
        "What the tuning changed", [header, *(_suite(*one, folder) for one in found.suites.items()), footer]
    )


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


def _suite(name: str, suite: SuiteFound, folder: Path) -> Html:
    parts: list[object] = [paragraph(f"{suite.about[:1].upper()}{suite.about[1:]}; {suite.items:,} items.")]
    measured = compared((name, one, value) for one, value in suite.metrics.items())
    parts.append(measured if suite.metrics else paragraph("Nothing was measured."))
    if suite.pictures:
        parts.append(grids({title: folder / path for title, path in suite.pictures.items()}))
    for title, lines in suite.tables.items():
        parts += [element("h3", title[:1].upper() + title[1:]), _table(lines)]
    parts += [paragraph(f"{note[:1].upper()}{note[1:]}.", class_="note") for note in suite.notes]
    return element("section", element("h2", name), joined(parts))


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
