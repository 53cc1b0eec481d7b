"""What was forgotten: text that is not the task's, and how far the tuned model has moved from the base.

perplexity, accuracy   of each domain, token by token; without a domain, of the speeches that every run reads
kl/general, kl/task    KL(base || tuned), nats per token, over the whole vocabulary: on general text, and on the rows
                       of the task. How far a tuning moves on its own prompts goes with what it forgets elsewhere
                       (Shenfeld et al. 2025, RL's Razor, 2509.04259)
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tunesmith.core.batch import Example
from tunesmith.evaluate.before_after import loss, perplexity
from tunesmith.report.suites import SuiteFound
from tunesmith.suites.sides import Sides
from tunesmith.suites.subject import Subject, example_of, plain
from tunesmith.suites.suite import Item, Suite
from tunesmith.suites.texts import domains
from tunesmith.suites.weights import weight_change

LONGEST = 300  # tokens of one text: the whole vocabulary is held for each of them
TASK = 40  # rows of the task
OWN = "speeches"


def find(subject: Subject) -> SuiteFound:
    items: list[Item] = list(domains())
    items = [item for name in _names(items) for item in subject.some(_of(items, name), None)]
    notes = []
    try:
        rows = subject.as_tokens().test
        items += subject.some([{"domain": "task", **plain(example)} for example in rows], TASK)
    except ValueError as error:
        notes.append(f"kl/task was not measured: {error}")
    subject.announce(SUITE.name, len(items), "texts", shares=False)
    pairs = subject.ask(SUITE.name, items, lambda some: [_both(subject.sides, item) for item in some], at_once=8)
    family = subject.family()
    for name in _names(items):
        of_it = [i for i, item in enumerate(items) if item["domain"] == name]
        base, tuned = (np.array([pairs[i][side][:3] for i in of_it], float) for side in (0, 1))
        if name != "task":
            end = "" if name == OWN else f"/{name}"
            family.statistic(f"perplexity{end}", perplexity, (base[:, :2], tuned[:, :2]), "lower")
            family.statistic(f"accuracy{end}", loss, (base[:, [2, 1]], tuned[:, [2, 1]]), "higher")
    for end in ("general", "task"):
        of_it = [i for i, item in enumerate(items) if (item["domain"] == "task") == (end == "task")]
        moved = np.array([(pairs[i][1][3], pairs[i][1][1]) for i in of_it], float)
        if len(moved):
            still = moved * [0.0, 1.0]  # the base is where it was
            family.statistic(f"kl/{end}", loss, (still, moved), "neither", "untested")
    layers = weight_change(subject.sides)
    tables = {"weight change by layer": layers} if layers else {}
    return SuiteFound(about=SUITE.about, items=len(items), metrics=family.metrics(), notes=notes, tables=tables)


def _names(items: Sequence[Item]) -> list[str]:
    return list(dict.fromkeys(item["domain"] for item in items))


def _of(items: Sequence[Item], name: str) -> list[Item]:
    return [item for item in items if item["domain"] == name]


def _both(sides: Sides, item: Item) -> tuple[list[float], list[float]]:
    """-> of the base [nll, tokens, right ones]; of the tuned model the same, and the sum of KL(base || tuned)."""
    whole = example_of(item) if "tokens" in item else sides.tuned.text(item["text"])
    example = cut(whole, sides.opened.base.context)
    with sides.base() as base:
        first = base.distribution(example)
    second = sides.tuned.distribution(example)
    labels = _labels(example)
    kl = float((first.exp() * (first - second)).sum(-1).clamp(min=0).sum(dtype=torch.float64))
    return _read(first, labels), [*_read(second, labels), kl]


def _read(logs: Tensor, labels: Tensor) -> list[float]:
    chosen = logs.gather(1, labels[:, None])[:, 0]
    right = int((chosen >= logs.amax(-1)).sum())
    return [float(-chosen.sum(dtype=torch.float64)), len(labels), right]


def _labels(example: Example) -> Tensor:
    pairs: Any = zip(example.tokens, example.trained, strict=True)
    return torch.tensor([token for place, (token, trained) in enumerate(pairs) if trained and place])


def cut(example: Example, context: int) -> Example:
    """-> its last tokens, as many as are read: of a row of the task the answer is what is scored."""
    most = min(LONGEST, context)
    if len(example) <= most:
        return example
    return Example(example.tokens[-most:], [False, *example.trained[1 - most :]], example.row)


SUITE = Suite(
    "general",
    "text that is not the task's (speeches, docstrings, code), and how far the tuned model moved from the base",
    find,
)
