"""Some of the questions that a run asks base and tuned model, timed."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

from tunesmith.core.freed import give_back
from tunesmith.evaluate.before_after import Outcome, compare, compare_general
from tunesmith.evaluate.score import score_examples
from tunesmith.evidence import ANSWERS_AT_ONCE, Questions
from tunesmith.models.generate import Sampling, step_by_step
from tunesmith.models.language import CausalLM
from tunesmith.opening import Opened, base_of
from tunesmith.rehearsal.training import timed, timed_passes
from tunesmith.tasks import TASKS

PATIENCE = 10.0  # seconds for one group of answers; a longer one is taken to go on to its limit
SCORED, GENERAL = 4, 3  # passes of items and of general text that are timed
FEW = 8  # tokens of an answer of the tuned model: its rate, for its length is not that of the untrained one


@dataclass(frozen=True, slots=True)
class Asked:
    """Seconds of both models on all questions."""

    scoring: float
    answers: float


def ask_a_little(opened: Opened, model: CausalLM) -> Asked:
    """The tuned model first, as a run does."""
    questions = Questions.of(opened.prepared, opened.base.tokenizer, opened.recipe.evaluate)
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

    def scoring(self, model: CausalLM, most: int) -> float:
        """-> seconds to score all items, from at most `most` of their passes."""
        questions, limit, device = self.questions, self.opened.tokens_per_pass, self.opened.device
        task = TASKS[questions.prepared.eats]

        def score(places: Sequence[int]) -> None:
            task.outcomes(model, questions, places, limit, device)

        return timed_passes(score, task.sizes(questions), limit, most)

    def general(self, model: CausalLM) -> float:
        """-> seconds to score the general text, each token of which is scored."""
        texts, limit = self.questions.general, self.opened.tokens_per_pass
        if not texts:
            return 0.0

        def score(places: Sequence[int]) -> None:
            score_examples(model, [texts[place] for place in places], limit, self.opened.device)

        return timed_passes(score, list(map(len, texts)), limit, GENERAL)

    def answers(self, model: CausalLM, most: int | None) -> float:
        """-> seconds to write all answers. `most`: stop after so many tokens and take the references' lengths."""
        written = self.questions.written
        if not written:
            return 0.0
        config, tokenizer = self.questions.config, self.opened.base.tokenizer
        stop = {token for token in (self.questions.prepared.stop, tokenizer.eos_token_id) if token is not None}
        sampling = Sampling(tokens=min(config.answer_tokens, most or config.answer_tokens))
        groups = [written[i : i + ANSWERS_AT_ONCE] for i in range(0, len(written), ANSWERS_AT_ONCE)]
        moments = [time.perf_counter()]
        for _ in step_by_step(model.network, [item.prompt for item in groups[0]], stop, sampling):
            moments.append(time.perf_counter())
            if moments[-1] - moments[0] > PATIENCE:
                break
        ended = len(moments) - 1 < sampling.tokens and moments[-1] - moments[0] <= PATIENCE
        reading = moments[1] - moments[0]  # the prompts, and the first token
        each = median(b - a for a, b in pairwise(moments[1:])) if len(moments) > 2 else 0.0
        usual = len(moments) - 1 if ended else config.answer_tokens
        steps = [_steps(g, tokenizer, config.answer_tokens) if most else usual for g in groups]
        prompts = [max(len(item.prompt) for item in group) * len(group) for group in groups]
        return reading * sum(prompts) / prompts[0] + each * sum(n - 1 for n in steps)


def _steps(group: Sequence[Any], tokenizer: Any, most: int) -> int:
    """-> tokens until the longest answer of a group has ended, when answers are as long as their references."""
    return min(most, max(len(tokenizer(item.answer)["input_ids"]) + 1 for item in group))


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
