"""Some of the questions that a run asks base and tuned model, timed."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

from tunesmith.core.freed import give_back
from tunesmith.evaluate.before_after import Outcome, compare, compare_general
from tunesmith.evaluate.score import score_examples
from tunesmith.evidence import Questions
from tunesmith.models.generate import AT_ONCE, Rules, Sampling, Writing
from tunesmith.models.language import Packed
from tunesmith.opening import Opened, base_of
from tunesmith.rehearsal.training import timed, timed_passes
from tunesmith.tasks import TASKS, writing
from tunesmith.tasks.prompts import rewarded

PATIENCE = 10.0  # seconds for some answers; what has not ended then is taken to go on to its limit
SCORED, GENERAL = 4, 3  # passes of items and of general text that are timed
FEW = 8  # tokens of an answer of the tuned model: its rate, for its length is not that of the untrained one


@dataclass(frozen=True, slots=True)
class Asked:
    """Seconds of both models on all questions."""

    scoring: float
    answers: float


def ask_a_little(opened: Opened, model: Packed) -> Asked:
    """The tuned model first, as a run does."""
    judge = rewarded(opened) if opened.prepared.eats == "prompts" else None
    questions = Questions.of(opened.prepared, opened.base.tokenizer, opened.recipe.asked, judge)
    model.eval()
    asking = Asking(opened, questions)
    tuned_answers = asking.answers(model, FEW)
    tuned = asking.scoring(model, SCORED)
    general = asking.general(model)
    give_back()
    begin = time.perf_counter()
    with base_of(opened, model) as original:
        reopened = time.perf_counter() - begin
        base_answers = asking.answers(original, None)
        base = asking.scoring(original, 1)
    compared = timed(lambda: _compare(questions))
    return Asked(
        scoring=tuned + base + general * (1 + base / tuned) + reopened + compared,
        answers=tuned_answers + base_answers,
    )


@dataclass(frozen=True, slots=True)
class Asking:
    """Times some questions, and says how long all would take."""

    opened: Opened
    questions: Questions

    def scoring(self, model: Packed, most: int) -> float:
        """-> seconds to score all items, from at most `most` of their passes; where answers are judged, from a few."""
        questions, limit, device = self.questions, self.opened.tokens_per_pass, self.opened.device
        if (judge := questions.judge) is not None:
            some = questions.examples[: writing.AT_ONCE]
            return timed(lambda: judge(model, some)) * len(questions.examples) / len(some)
        task = TASKS[questions.prepared.eats]

        def score(places: Sequence[int]) -> None:
            task.outcomes(model, questions, places, limit, device)

        return timed_passes(score, task.sizes(questions), limit, most)

    def general(self, model: Packed) -> float:
        """-> seconds to score the general text, each token of which is scored."""
        texts, limit = self.questions.general, self.opened.tokens_per_pass
        if not texts:
            return 0.0

        def score(places: Sequence[int]) -> None:
            score_examples(model, [texts[place] for place in places], limit, self.opened.device)

        return timed_passes(score, list(map(len, texts)), limit, GENERAL)

    def answers(self, model: Packed, most: int | None) -> float:
        """-> seconds to write all answers. `most`: stop after so many tokens and take the references' lengths.

        Rows that have ended are filled again, so that all tokens together make the steps, or the longest answer alone.
        """
        written = self.questions.written
        if not written:
            return 0.0
        config, tokenizer = self.questions.config, self.opened.base.tokenizer
        stop = {token for token in (self.questions.prepared.stop, tokenizer.eos_token_id) if token is not None}
        sampling = Sampling(tokens=min(config.answer_tokens, most or config.answer_tokens))
        some = [item.prompt for item in written[:AT_ONCE]]
        steps: list[float] = []
        ended: list[int] = []  # lengths
        begin = time.perf_counter()
        with Writing(model.network, some, Rules(stop, sampling)) as writing:
            opening = time.perf_counter() - begin
            while writing.goes_on and sum(steps) < PATIENCE:
                steps.append(timed(writing.step))
                ended += [len(answer.tokens) for _, answer in writing.ended() if answer.ended]
        if most:
            lengths = [_length(item, tokenizer, config.answer_tokens) for item in written]
        else:
            usual = mean(ended + [config.answer_tokens] * (len(some) - len(ended)))
            lengths = [usual] * len(written)
        reading = steps[0] * sum(len(item.prompt) for item in written) / sum(map(len, some))
        each = median(steps[1:]) if len(steps) > 1 else 0.0
        return opening + reading + each * max(sum(lengths) / AT_ONCE, max(lengths) - 1)


def _length(item: Any, tokenizer: Any, most: int) -> float:
    """-> tokens of an answer that is as long as its reference."""
    return float(min(most, len(tokenizer(item.answer)["input_ids"]) + 1))


def _compare(questions: Questions) -> None:
    """The statistics of as many rows, on numbers that are made up."""
    labels, scored = questions.prepared.labels, questions.config.score_answers
    sides: tuple[list[Outcome], list[Outcome]] = ([], [])
    rows = [row.row for row in (questions.items if questions.labelled else questions.examples)]
    for place, row in enumerate(rows):
        item = questions.items[place] if place < len(questions.items) else None
        gold = item.label if item is not None else None
        reference = item.answer if item is not None else ""
        for side, predicted in zip(sides, (labels[0] if labels else None, gold), strict=True):
            answer = reference if place < scored and item is not None else None
            nll = 1.0 + len(side) % 3 + (predicted == gold)
            side.append(Outcome(row, nll, 1, predicted, gold, answer, reference))
    compare(*sides, labels)
    if questions.general:
        numbers = [(float(len(text)), len(text), 0) for text in questions.general]
        compare_general(numbers, [(nll + 1, tokens, 1) for nll, tokens, _ in numbers])
