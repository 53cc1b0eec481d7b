"""What the base and the tuned model do on the same held-out rows: the numbers behind every claim of a run."""

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from tunesmith.catalogue.fetch import fetch
from tunesmith.core.batch import Example, TokenBatch
from tunesmith.core.freed import give_back
from tunesmith.data.encode import Item
from tunesmith.data.prepare import Prepared
from tunesmith.evaluate.before_after import Evaluation, Outcome, compare, compare_general
from tunesmith.evaluate.config import Evaluate
from tunesmith.evaluate.items import Measured
from tunesmith.evaluate.score import score_tokens
from tunesmith.models.generate import Sampling, generate
from tunesmith.models.language import CausalLM, Packed
from tunesmith.tasks import TASKS
from tunesmith.tasks.task import Scorer

GENERAL = "state-of-the-union"


@dataclass(frozen=True, slots=True)
class Questions:
    """What is asked of both models."""

    prepared: Prepared
    items: Sequence[Item]
    examples: Sequence[Example]
    general: Sequence[Example]
    config: Evaluate
    judge: Callable[[Packed, Sequence[Example]], list[Outcome]] | None = None
    """What a model does on examples, where it is measured by what it writes."""

    @classmethod
    def of(
        cls,
        prepared: Prepared,
        tokenizer: Any,
        config: Evaluate,
        judge: Callable[[Packed, Sequence[Example]], list[Outcome]] | None = None,
    ) -> "Questions":
        """The test part, cut to `config.items`, and the general text."""
        general = _general(tokenizer) if config.general else []
        return cls(prepared, prepared.test_items[: config.items], prepared.test[: config.items], general, config, judge)

    @property
    def tokens(self) -> int:
        """How many tokens one model reads to be scored."""
        return sum(TASKS[self.prepared.eats].sizes(self)) + sum(map(len, self.general))

    @property
    def labelled(self) -> bool:
        return bool(self.prepared.labels)

    @property
    def written(self) -> Sequence[Item]:
        """The items for which answers are written."""
        return self.items[: max(self.config.answers, self.config.score_answers)]


def evidence(
    model: Packed,
    tokenizer: Any,
    questions: Questions,
    *,
    base: Callable[[], AbstractContextManager[Packed]],
    tokens_per_pass: int,
    watch: Callable[[str, int], "Watch"],
) -> tuple[Measured, Measured]:
    """-> what the base did, and the tuned model. `with base() as model:` gives the base.

    The test part is touched here and nowhere else, once.
    """
    model.eval()
    with watch("measuring the tuned model", questions.tokens) as seen:
        after = measured(model, tokenizer, questions, tokens_per_pass, seen)
    give_back()
    with base() as original, watch("measuring the base", questions.tokens) as seen:
        return measured(original, tokenizer, questions, tokens_per_pass, seen), after


def compared(questions: Questions, before: Measured, after: Measured) -> tuple[Evaluation, list[dict[str, Any]]]:
    """-> before against after, and answers side by side."""
    found = compare(before.outcomes, after.outcomes, questions.prepared.labels)
    if questions.general:
        found = found.joined(compare_general(before.general, after.general))
    return found, [
        {
            "row": item.row,
            "prompt": item.prompt_text,
            "reference": item.answer,
            "base": before.answers[place],
            "tuned": after.answers[place],
        }
        for place, item in enumerate(questions.written)
    ]


class Watch:
    """Told how many tokens have been read; a context manager. The default watches in silence."""

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, tokens: int) -> None:
        """`tokens` more have been read."""


def measured(model: Packed, tokenizer: Any, questions: Questions, tokens_per_pass: int, watch: Watch) -> Measured:
    """-> what one model does on all questions."""
    device = next(model.parameters()).device

    def counting(score: Scorer) -> Scorer:
        def scored(batch: TokenBatch) -> Tensor:
            scores = score(batch)
            watch.read(len(batch.tokens))
            return scores

        return scored

    answers = write_answers(model.network, tokenizer, questions)
    scored = questions.config.score_answers
    task, places = TASKS[questions.prepared.eats], range(len(questions.examples))
    if questions.judge is not None:
        outcomes = questions.judge(model, questions.examples)
    else:
        outcomes = task.outcomes(counting(model), questions, places, tokens_per_pass, device)
    outcomes = [replace(o, answer=answers[i] if i < scored else None) for i, o in enumerate(outcomes)]
    general = []
    if questions.general:
        assert isinstance(model, CausalLM), "a network with a head writes no text"
        general = score_tokens(counting(model.scores), questions.general, tokens_per_pass, device)
    return Measured(outcomes, general, answers)


def write_answers(network: Any, tokenizer: Any, questions: Questions) -> dict[int, str]:
    """-> greedy answers to the first items, by place."""
    stop = {token for token in (questions.prepared.stop, tokenizer.eos_token_id) if token is not None}
    sampling = Sampling(tokens=questions.config.answer_tokens)
    prompts = [item.prompt for item in questions.written]
    written = generate(network, prompts, stop, sampling, tokenizer=tokenizer)
    return {place: (answer.text or "").strip() for place, answer in enumerate(written)}


def _general(tokenizer: Any) -> list[Example]:
    """The general text as examples, every token but the first scored."""
    path: Path = fetch(GENERAL, allow_download=False)
    texts = [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]
    encoded = [tokenizer(text)["input_ids"] for text in texts]
    return [Example(tokens, [False] + [True] * (len(tokens) - 1), row) for row, tokens in enumerate(encoded, 1)]
