"""The run's own test part, as `evaluation.json` has it: the metrics of the recipe's task."""

import json
from pathlib import Path
from typing import Any

from tunesmith.core.errors import UserError
from tunesmith.evaluate.family import Better, Compared
from tunesmith.evaluate.statistics import POWERED, Difference
from tunesmith.report.numbers import metric
from tunesmith.report.suites import SuiteFound
from tunesmith.suites.subject import Subject
from tunesmith.suites.suite import Family, Suite

EVALUATION = "evaluation.json"
GENERAL = "general_"
_OUTER, _INNER = 1.960, 1.645  # standard errors to the ends of intervals of 95 and of 90 %
NEITHER = ("preference_margin",)  # a larger margin is not by itself a better model


def find(subject: Subject) -> SuiteFound:
    return told(subject.place, subject.margin)


def told(place: Path, margin: float) -> SuiteFound:
    """-> what `evaluation.json` in `place` says, corrected for the number of its metrics."""
    path = place / EVALUATION
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        names = [name for name in found["before"] if not name.startswith(GENERAL) and name in found["difference"]]
        family = Family(margin, {name: _compared(found, name, margin) for name in names})
        return SuiteFound(about=SUITE.about, items=found["n"], metrics=family.metrics())
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: damaged ({error}); write it again with `tunesmith evaluate`") from error


def _compared(found: dict[str, Any], name: str, margin: float) -> Compared:
    base, tuned, given = found["before"][name], found["after"][name], found["difference"][name]
    mean, low, high = given["mean"], given["low"], given["high"]
    # The draws are gone: what their ends tell of the spread stands for them.
    share = _INNER / _OUTER
    inner = mean - share * (mean - low), mean + share * (high - mean)
    few = found["verdict"][name].startswith("no detectable difference (too few")
    detectable = None if few else POWERED * (high - low) / (2 * _OUTER)
    difference = Difference(mean, low, high, given["p"], found["n"], found["verdict"][name], detectable, inner)
    shown = metric(name)
    better: Better = "neither" if name in NEITHER else "higher" if shown.higher_is_better else "lower"
    unit = margin if shown.top == 1 else margin * abs(base)
    return Compared(base, tuned, difference, better, unit or None)


SUITE = Suite("task", "the test rows of the run, by the metrics of its task", find, writes=False)
