"""Whether the models are as often right as they are sure: of labels where there are any, else of each token.

ece     labels: `evaluate.calibration`. Tokens: the same, in 15 bins of equal width, over the tokens of all answers
brier   labels only
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tunesmith.evaluate import calibration
from tunesmith.evaluate.items import NAME, read_items
from tunesmith.report.suites import SuiteFound
from tunesmith.suites.general import cut
from tunesmith.suites.sides import Question, Side
from tunesmith.suites.subject import Subject, example_of, plain
from tunesmith.suites.suite import Suite, Unfit

BINS = calibration.BINS
TEXTS = 100  # answers whose tokens are looked at


def find(subject: Subject) -> SuiteFound:
    if subject.opened.head is not None:
        return _of_head(subject)
    return _of_labels(subject) if subject.prepared.labels else _of_tokens(subject)


def _of_head(subject: Subject) -> SuiteFound:
    if not (subject.place / NAME).is_file():
        raise Unfit("calibration: the run has no items.jsonl; measure it with `tunesmith evaluate`")
    base, tuned = (read_items(subject.place, side).outcomes for side in ("base", "tuned"))
    labels = list(subject.prepared.labels)
    if not labels or not all(o.probabilities for o in (*base, *tuned)):
        raise Unfit("calibration: a network that gives numbers is never sure of them")
    sides = [np.array([o.probabilities for o in side], float) for side in (base, tuned)]
    return _judged(subject, sides, [labels.index(o.gold or "") for o in base])


def _of_labels(subject: Subject) -> SuiteFound:
    items = subject.some(
        [{"prompt": q.prompt, "choices": q.choices, "label": q.label} for q in subject.questions], None
    )
    subject.announce(SUITE.name, len(items), "labelled rows")

    def ask(side: Side, some: Sequence[Any]) -> list[list[float]]:
        return [list(s) for s in side.chosen([Question(item["prompt"], item["choices"]) for item in some])]

    pairs = subject.ask(SUITE.name, items, lambda some: subject.sides.each(lambda side: ask(side, some)))
    labels = list(subject.prepared.labels)
    sides = [calibration.tempered(np.exp(_shifted([p[side] for p in pairs])), 1.0) for side in (0, 1)]
    return _judged(subject, sides, [labels.index(item["label"]) for item in items])


def _shifted(scores: Sequence[Sequence[float]]) -> np.ndarray:
    logs = np.array(scores, float)
    return logs - logs.max(-1, keepdims=True)


def _judged(subject: Subject, sides: Sequence[np.ndarray], right: Sequence[int]) -> SuiteFound:
    family, gold = subject.family(), np.array(right)
    sure = [calibration.sureness(side, gold) for side in sides]
    family.statistic("ece", calibration.ece, sure, "lower", "swapped")
    family.means("brier", [calibration.brier(side, gold).tolist() for side in sides], "lower")
    return SuiteFound(about=SUITE.about, items=len(gold), metrics=family.metrics())


def _of_tokens(subject: Subject) -> SuiteFound:
    items = subject.some(
        [plain(cut(example, subject.opened.base.context)) for example in subject.as_tokens().test], TEXTS
    )
    subject.announce(SUITE.name, len(items), "answers, token by token", shares=False)
    pairs = subject.ask(
        SUITE.name, items, lambda some: subject.sides.each(lambda side: [binned(side, i) for i in some]), at_once=8
    )
    family, both = subject.family(), [np.array([p[side] for p in pairs], float) for side in (0, 1)]
    family.statistic("ece_of_tokens", gap, both, "lower", "swapped")
    return SuiteFound(about=SUITE.about, items=len(items), metrics=family.metrics())


def binned(side: Side, item: Any) -> list[float]:
    """-> of each bin how many tokens are in it, the sum of their sureness, and how many are right."""
    example = example_of(item)
    logs = side.distribution(example)
    sure, said = logs.exp().max(-1)
    labels = [
        token for place, (token, t) in enumerate(zip(example.tokens, example.trained, strict=True)) if t and place
    ]
    right = np.array(said.tolist()) == np.array(labels)
    bins = np.minimum((sure.numpy().astype(float) * BINS).astype(int), BINS - 1)
    columns = [np.bincount(bins, weights, BINS) for weights in (None, sure.numpy(), right)]
    return [float(value) for column in columns for value in column]


def gap(rows: np.ndarray) -> np.ndarray:
    """(R, N, 3 * BINS) -> (R,): the mean over tokens of |right - sure|, bin by bin."""
    count, sure, right = np.split(rows.sum(-2), 3, axis=-1)
    return np.abs(right - sure).sum(-1) / np.maximum(count.sum(-1), 1)


SUITE = Suite("calibration", "whether the models are as often right as they are sure", find, writes=False)
