"""What runs over pairs did to each kind of test rows: runs that differ in their seed, rows told apart by a column.

python benchmarks/slices.py RUN [RUN ...] --rows test.jsonl --column condition [--out FILE]

Each number has the 95 % interval that holds the luck of rows and of seeds (tunesmith.evaluate.over_seeds).
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.evaluate.before_after import perplexity
from tunesmith.evaluate.items import Measured, read_items
from tunesmith.evaluate.over_seeds import difference, level
from tunesmith.evaluate.statistics import Measure

NAMES = ("preference_accuracy", "preference_margin")


def mean(rows: np.ndarray) -> np.ndarray:
    """(R, N, 1) -> (R,)."""
    return rows[..., 0].mean(-1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--rows", type=Path, required=True, help="the test rows of the runs (JSONL)")
    parser.add_argument("--column", required=True)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    base = read_items(asked.runs[0], "base")
    tuned = [read_items(run, "tuned") for run in asked.runs]
    values = [json.loads(line)[asked.column] for line in asked.rows.read_text(encoding="utf-8").splitlines()]
    kinds = [values[outcome.row - 1] for outcome in base.outcomes]
    found = {"all": _compared(base, tuned, list(range(len(kinds))))}
    for kind in sorted(set(kinds)):
        found[kind] = _compared(base, tuned, [i for i, own in enumerate(kinds) if own == kind])
    found["general text"] = {"perplexity": _two(perplexity, _general([base]), _general(tuned), higher=False)}
    if asked.out is not None:
        asked.out.write_text(json.dumps({"runs": [run.name for run in asked.runs], "found": found}, indent=1) + "\n")
    print(table(found))


def _compared(base: Measured, tuned: list[Measured], places: list[int]) -> dict[str, Any]:
    found: dict[str, Any] = {"rows": len(places)}
    for number, name in enumerate(NAMES):
        first, second = (_preference(side, places, number) for side in ([base], tuned))
        found[name] = _two(mean, first, second, higher=True)
    return found


def _preference(sides: list[Measured], places: list[int], number: int) -> np.ndarray:
    """-> (K, N, 1)."""
    return np.array([[[(side.outcomes[i].preference or (0.0, 0.0))[number]] for i in places] for side in sides])


def _general(sides: list[Measured]) -> np.ndarray:
    """-> (K, N, 2)."""
    return np.array([[(nll, tokens) for nll, tokens, _ in side.general] for side in sides], float)


def _two(measure: Measure, first: np.ndarray, second: np.ndarray, *, higher: bool) -> dict[str, Any]:
    apart = difference(measure, first, second, higher_is_better=higher)
    return {
        "before": level(measure, first).mean,
        "after": level(measure, second).mean,
        "difference": [apart.mean, apart.low, apart.high],
        "verdict": apart.verdict,
    }


def table(found: dict[str, Any]) -> str:
    """-> markdown."""
    lines = ["| rows | metric | base | tuned | difference (95 %) |", "|---|---|---|---|---|"]
    for kind, metrics in found.items():
        count = f" ({metrics['rows']})" if "rows" in metrics else ""
        for name, one in metrics.items():
            if name != "rows":
                change, low, high = one["difference"]
                lines.append(
                    f"| {kind}{count} | {name.replace('_', ' ')} | {one['before']:.3f} | {one['after']:.3f} | "
                    f"{change:+.3f} ({low:+.3f} to {high:+.3f}) |"
                )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
