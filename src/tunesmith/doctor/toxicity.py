"""Toxic rows, where there is a scorer: one that was named, or an installed entry point `tunesmith.toxicity`.

A scorer gives each text a number from 0 to 1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points

from tunesmith.core.errors import UserError
from tunesmith.doctor.case import Case
from tunesmith.doctor.finding import Finding, by_file

GROUP = "tunesmith.toxicity"
_LIMIT = 0.5
_SOME = 256

Scorer = Callable[[Sequence[str]], Sequence[float]]


@dataclass(frozen=True, slots=True)
class Judge:
    """A scorer and what to call it."""

    name: str
    open: Callable[[], Scorer]


def judge_of(case: Case) -> Judge | None:
    """-> the scorer that was named, or one that a package of the user offers, the first by name."""
    if case.judge is not None:
        return Judge(*case.judge)
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    return Judge(points[0].name, points[0].load) if points else None


def toxic(case: Case) -> list[Finding]:
    judge = judge_of(case)
    if judge is None:
        return []
    score = judge.open()
    texts = [entry.text for entry in case.whole]
    scores = [value for first in range(0, len(texts), _SOME) for value in score(texts[first : first + _SOME])]
    if len(scores) != len(texts) or not all(0 <= float(value) <= 1 for value in scores):
        raise UserError(f"the toxicity scorer `{judge.name}` must give one number from 0 to 1 for each text")
    found = [(entry, float(value)) for entry, value in zip(case.whole, scores, strict=True) if value >= _LIMIT]
    notes = {id(entry.row): f"{value:.2f}" for entry, value in found}
    rows = [(entry.row, entry.text) for entry, _ in found]
    return by_file("toxic", rows, f"toxic by the scorer `{judge.name}`", lambda row: notes[id(row)])
