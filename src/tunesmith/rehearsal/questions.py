"""Some of the questions that a run asks base and tuned model, timed."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

from tunesmith.evaluate.before_after import Outcome, compare, compare_general
from tunesmith.evaluate.score import classify, score_examples
from tunesmith.evidence import ANSWERS_AT_ONCE, Questions
from tunesmith.models.generate import Sampling, step_by_step
from tunesmith.models.language import CausalLM
from tunesmith.opening import Opened, base_of
from tunesmith.rehearsal.excerpt import spread
from tunesmith.rehearsal.training import timed

PATIENCE = 10.0  # seconds for one group of answers; a longer one is taken to go on to its limit
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
    asking = _Asking(opened, questions)
    tuned_answers = asking.answers(model, FEW)
    tuned = asking.scoring(model, 1)
    general = asking.general(model)
    begin = time.perf_counter()
    with base_of(opened, model) as original:
        reopened = time.perf_counter() - begin
        base_answers = asking.answers(original, None)
        base = asking.scoring(original, 2)
    compared = timed(lambda: _compare(questions))
    return Asked(
        scoring=tuned + base + general * (1 + base / tuned) + reopened + compared,
        answers=tuned_answers + base_answers,
    )


@dataclass(frozen=True, slots=True)
class _Asking:
    opened: Opened
    questions: Questions

    def scoring(self, model: CausalLM, share: int) -> float:
        """-> seconds to score all items, from items of all lengths that fill one pass, or a `share`-th of it."""
        questions, limit, device = self.questions, self.opened.tokens_per_pass, self.opened.device
        sizes = [read(item) for item in questions.items] if questions.labelled else list(map(len, questions.examples))
        places = spread(sizes, limit // share)
        if questions.labelled:
            seconds = timed(lambda: classify(model, [questions.items[p] for p in places], limit, device))
        else:
            seconds = timed(lambda: score_examples(model, [questions.examples[p] for p in places], limit, device))
        return seconds * sum(sizes) / sum(sizes[p] for p in places)

    def general(self, model: CausalLM) -> float:
        """-> seconds to score the general text, each token of which is scored."""
        texts = self.questions.general
        tried = [texts[p] for p in spread(list(map(len, texts)), self.opened.tokens_per_pass)]
        if not tried:
            return 0.0
        seconds = timed(lambda: score_examples(model, tried, self.opened.tokens_per_pass, self.opened.device))
        return seconds * sum(map(len, texts)) / sum(map(len, tried))

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


def read(item: Any) -> int:
    """-> the tokens that pass when the choices of `item` are compared: each begins with the prompt's last."""
    return len(item.prompt) - 1 + sum(len(choice) + 1 for choice in item.choices)


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
        numbers = [(float(len(text)), len(text)) for text in questions.general]
        compare_general(numbers, [(nll + 1, tokens) for nll, tokens in numbers])
