"""How answers to the task's own prompts changed in shape: length, format, an end, repetition.

words                 of an answer
format_as_reference   share of answers that look like their reference (a number, a list, JSON, a line, ...)
ended                 share that end by themselves within the tokens that they may have
repeats               share that go round in circles (`suites.words`)
distinct              distinct words over all words of the answers
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tunesmith.report.suites import SuiteFound
from tunesmith.suites.subject import Subject
from tunesmith.suites.suite import Item, Suite, columns
from tunesmith.suites.words import degenerate, form

MOST = 40


def find(subject: Subject) -> SuiteFound:
    tokens = subject.opened.recipe.evaluate.answer_tokens
    rows = subject.questions
    items = subject.some(
        [{"prompt": q.prompt, "reference": q.answer, "tokens": tokens, "place": i} for i, q in enumerate(rows)], MOST
    )
    subject.announce(SUITE.name, len(items), "prompts of the task")

    def ask(some: Sequence[Item]) -> list[tuple[Any, Any]]:
        return subject.sides.each(lambda side: [list(a) for a in side.written([i["prompt"] for i in some], tokens)])

    pairs = subject.ask(SUITE.name, items, ask, at_once=16)
    family = subject.family()
    lengths = columns(pairs, lambda answer: float(len(answer[0].split())))
    family.means("words", lengths, "neither", unit=max(1.0, float(np.mean(lengths[0]))))
    family.means("ended", columns(pairs, lambda answer: float(answer[1])), "higher")
    family.means("repeats", columns(pairs, lambda answer: float(degenerate(answer[0]))), "lower")
    known = [item["reference"] for item in items]
    if any(known):
        alike = [[float(form(p[i][0]) == form(k)) for p, k in zip(pairs, known, strict=True)] for i in (0, 1)]
        family.means("format_as_reference", alike, "higher")
    table = [{"": name, **_shape([pair[i] for pair in pairs])} for i, name in enumerate(("base", "tuned"))]
    return SuiteFound(about=SUITE.about, items=len(items), metrics=family.metrics(), tables={"answers": table})


def _shape(answers: Sequence[Any]) -> dict[str, Any]:
    texts = [text for text, _ in answers]
    words = [word for text in texts for word in text.lower().split()]
    forms = [form(text) for text in texts]
    return {
        "median words": float(np.median([len(text.split()) for text in texts])),
        "distinct words": len(set(words)) / max(1, len(words)),
        "most frequent format": max(sorted(set(forms)), key=forms.count),
    }


SUITE = Suite("drift", "answers to the task's own prompts: length, format, end, repetition", find)
