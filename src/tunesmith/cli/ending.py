"""The last lines of a run: what changed, and what to do with it."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunesmith.report.document import RunResult


def to_stderr(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def print_ending(folder: Path, result: "RunResult") -> None:
    """The before/after table, the report's path and the next commands, on stdout."""
    from tunesmith.report.suites_terminal import of_metrics
    from tunesmith.report.terminal import print_comparison

    print()
    print_comparison(result.evaluation.model_dump() if result.evaluation else {})
    if result.fidelity:
        print()
        print_comparison(of_metrics({name.partition(".")[2]: found for name, found in result.fidelity.items()}))
    place = shlex.quote(str(folder))
    print(f"\nreport: {folder / 'report.html'}")
    if result.scores:
        asked = "--input rows.jsonl" if result.objective == "reward" else "--text '...'"
        print(f"try it: tunesmith predict {place} {asked}")
    elif result.paints:
        print(f"try it: tunesmith generate {place} --prompt '...' --count 8 --output pictures")
        return
    else:
        print(f"try it: tunesmith chat {place}")
        print(f"        tunesmith generate {place} --prompt '...' --adapter both")
    if result.method != "full" and result.artifact is not None and result.artifact.mergeable:
        print(f"keep it as a plain model: tunesmith merge {place}")
