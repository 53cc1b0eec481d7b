"""The suites for a terminal: the table of `report.terminal` for each, with what must be known to read it."""

from rich.console import Console

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
    names = {name: _named(suite, name) for name in found.metrics}
    given = found.metrics
    return {
        "before": {names[n]: m.base for n, m in given.items()},
        "after": {names[n]: m.tuned for n, m in given.items()},
        "difference": {
            names[n]: {"mean": m.difference, "low": m.low, "high": m.high, "p": m.p} for n, m in given.items()
        },
        "verdict": {names[n]: m.verdict for n, m in given.items()},
    }


def _named(suite: str, name: str) -> str:
    general = suite == "general" and name.split("/")[0] in ("accuracy", "perplexity")
    return f"general_{name}" if general else name
