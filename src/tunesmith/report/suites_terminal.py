"""The suites for a terminal: the table of `report.terminal` for each, with what must be known to read it."""

from collections.abc import Mapping

from rich.console import Console

from tunesmith.report.document import MetricFound
from tunesmith.report.suites import SuiteFound, SuitesFound
from tunesmith.report.terminal import print_comparison


def print_suites(found: SuitesFound, console: Console | None = None) -> None:
    console = console or Console()
    for name, suite in found.suites.items():
        console.print(f"\n{name}: {suite.about} ({suite.items:,} items)", markup=False, highlight=False, soft_wrap=True)
        if suite.metrics:
            print_comparison(as_evaluation(name, suite), console)
        for note in suite.notes:
            console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)


def as_evaluation(suite: str, found: SuiteFound) -> dict[str, dict[str, object]]:
    """-> the suite by the keys of `evaluation.json`; on general text the names say so."""
    return of_metrics({_named(suite, name): metric for name, metric in found.metrics.items()})


def of_metrics(given: Mapping[str, MetricFound]) -> dict[str, dict[str, object]]:
    """-> metrics by the keys of `evaluation.json`."""
    return {
        "before": {name: m.base for name, m in given.items()},
        "after": {name: m.tuned for name, m in given.items()},
        "difference": {
            name: {"mean": m.difference, "low": m.low, "high": m.high, "p": m.p} for name, m in given.items()
        },
        "verdict": {name: m.verdict for name, m in given.items()},
    }


def _named(suite: str, name: str) -> str:
    general = suite == "general" and name.split("/")[0] in ("accuracy", "perplexity")
    return f"general_{name}" if general else name
