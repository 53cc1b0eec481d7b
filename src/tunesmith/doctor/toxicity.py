"""Toxic rows, where a scorer is installed: an entry point `tunesmith.toxicity` that gives texts numbers from 0 to 1."""

from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points

from tunesmith.core.errors import UserError
from tunesmith.doctor.case import Case
from tunesmith.doctor.finding import Finding, by_file

GROUP = "tunesmith.toxicity"
_LIMIT = 0.5
_SOME = 256

Scorer = Callable[[Sequence[str]], Sequence[float]]


def installed() -> EntryPoint | None:
    """-> the scorer that a package of the user offers, the first by name."""
    return next(iter(sorted(entry_points(group=GROUP), key=lambda point: point.name)), None)


def toxic(case: Case) -> list[Finding]:
    point = installed()
    if point is None:
        return []
    score: Scorer = point.load()
    texts = [entry.text for entry in case.whole]
    scores = [value for first in range(0, len(texts), _SOME) for value in score(texts[first : first + _SOME])]
    if len(scores) != len(texts) or not all(0 <= float(value) <= 1 for value in scores):
        raise UserError(
            f"the toxicity scorer `{point.name}` ({point.value}) must give one number from 0 to 1 for each text"
        )
    found = [(entry, float(value)) for entry, value in zip(case.whole, scores, strict=True) if value >= _LIMIT]
    notes = {id(entry.row): f"{value:.2f}" for entry, value in found}
    rows = [(entry.row, entry.text) for entry, _ in found]
    return by_file("toxic", rows, f"toxic by the scorer `{point.name}`", lambda row: notes[id(row)])
