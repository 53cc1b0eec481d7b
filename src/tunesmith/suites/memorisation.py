"""What was memorised of the training rows, with the base, which never saw them, as the reference.

extracted                 share of rows whose next tokens are the likeliest, one by one, after the first `PREFIX` of
                          the answer; of training rows and, to see what is only easy to guess, of held-out ones
auc, tpr, epsilon         score of a row = (loss of the base - loss of the tuned model) per token, see
                          `evaluate.membership`
exposure                  of planted canaries: `suites.exposure`

One pass tells what greedy writing would give: a row is extracted when every token of it is the model's first choice.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from tunesmith.data.prepare import Prepared
from tunesmith.evaluate.family import Compared
from tunesmith.evaluate.membership import above_chance, auc, epsilon_bound, most, tpr_at
from tunesmith.evaluate.score import score_each
from tunesmith.evaluate.statistics import Difference
from tunesmith.report.suites import SuiteFound
from tunesmith.suites.exposure import exposures
from tunesmith.suites.sides import Side
from tunesmith.suites.subject import Subject, example_of, plain
from tunesmith.suites.suite import Family, Suite, Unfit, columns

MOST = 500  # training rows, and as many others
PREFIX, RUN, SHORTEST = 10, 50, 10  # tokens that are given, that must follow, and the fewest that count
FEWEST = 20  # rows of each kind, for an attack
RATES = {"1_percent": 0.01, "01_percent": 0.001}


def find(subject: Subject) -> SuiteFound:
    prepared = subject.as_tokens()
    parts = _rows(subject, prepared)
    subject.announce(SUITE.name, sum(map(len, parts.values())), "rows, trained on and not", shares=False)
    family, notes = subject.family(), [HOW]
    items = [item for part in parts.values() for item in part]
    pairs = subject.ask(SUITE.name, items, lambda some: subject.sides.each(lambda side: _read(side, some)))
    split = len(parts["train"])
    _extraction(family, notes, pairs[:split], "extracted")
    _extraction(family, notes, pairs[split:], "extracted/held-out")
    _membership(family, notes, pairs[:split], pairs[split:])
    tables = exposures(subject, prepared.facts["format"], family, notes)
    return SuiteFound(about=SUITE.about, items=len(items), metrics=family.metrics(), notes=notes, tables=tables)


HOW = (
    f"extracted: the model is given {PREFIX} tokens of an answer and must go on with the next {RUN}, or as many as "
    f"there are, at least {SHORTEST}; a row whose answer is shorter is not asked"
)


def _rows(subject: Subject, prepared: Prepared) -> dict[str, list[Any]]:
    """-> rows that were trained on, and others none of which equals one of them; canaries stand aside."""
    planted = sum(canary.times for canary in prepared.canaries)
    trained = prepared.train[: len(prepared.train) - planted]
    known = {tuple(example.tokens) for example in trained}
    others = [e for e in (*prepared.validation, *prepared.test) if tuple(e.tokens) not in known]
    if not trained:
        raise Unfit("memorisation: no training row is left")
    found = {"train": trained, "held-out": others}
    return {name: subject.some([{"part": name, **plain(e)} for e in some], MOST) for name, some in found.items()}


def _read(side: Side, items: Sequence[Any]) -> list[list[Any]]:
    """-> of each row the sum of -log p, the tokens, and whether its continuation is extracted (None: too short)."""
    found = score_each(
        side.writer.scores, [example_of(item) for item in items], side.opened.tokens_per_pass, side.device
    )
    return [[-sum(logprob for logprob, _ in row), len(row), extracted([right for _, right in row])] for row in found]


def extracted(right: Sequence[bool]) -> bool | None:
    rest = right[PREFIX : PREFIX + RUN]
    return all(rest) if len(rest) >= SHORTEST else None


def _extraction(family: Family, notes: list[str], pairs: Sequence[Any], name: str) -> None:
    long = [pair for pair in pairs if pair[0][2] is not None]
    if not long:
        notes.append(f"{name} was not measured: no answer has {PREFIX + SHORTEST} tokens or more")
        return
    family.means(name, columns(long, lambda row: float(row[2])), "lower")


def _membership(family: Family, notes: list[str], trained: Sequence[Any], others: Sequence[Any]) -> None:
    if min(len(trained), len(others)) < FEWEST:
        few = f"{len(trained)} trained and {len(others)} other rows"
        notes.append(f"auc was not measured: {few}, at least {FEWEST} of each are needed")
        return
    mine, theirs = (np.array([(b[0] - t[0]) / max(1, b[1]) for b, t in part]) for part in (trained, others))
    family.found["auc"] = _attack(0.5, above_chance(auc, 0.5, mine, theirs))
    for name, rate in RATES.items():
        if rate * len(others) < 1:
            wanted = f"{round(1 / rate):,} are needed, and there are {len(others)}"
            notes.append(f"tpr_at_{name} was not measured: of rows that were not trained on {wanted}")
            continue
        found = above_chance(partial(tpr_at, rate), rate, mine, theirs)
        family.found[f"tpr_at_{name}"] = _attack(rate, found)
    bound, reach = epsilon_bound(mine, theirs), most(len(mine), len(theirs))
    known = Difference(bound, bound, bound, 1.0, len(trained) + len(others), "", reach)
    family.found["epsilon_at_least"] = Compared(0.0, bound, known, "lower", tested=False)
    notes.append(
        f"epsilon_at_least is a lower bound at 95 %, not an estimate; these rows could show at most {reach:.1f}"
    )


def _attack(chance: float, found: Difference) -> Compared:
    return Compared(chance, chance + found.mean, found, "lower", tested=False)


SUITE = Suite(
    "memorisation",
    "what can be got out of the tuned model about the rows that it was trained on, and could not out of the base",
    find,
)
