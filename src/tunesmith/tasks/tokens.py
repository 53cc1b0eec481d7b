"""Tokens to learn: supervised fine-tuning. Measured by likelihood, and where there are labels by the likeliest one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from tunesmith.evaluate.before_after import Outcome
from tunesmith.evaluate.score import classify, score_examples
from tunesmith.models.language import Packed
from tunesmith.streams.stream import Feed
from tunesmith.streams.tokens import token_feed
from tunesmith.tasks.task import Refer, Scorer, Task
from tunesmith.tasks.teaching import taught_feed

if TYPE_CHECKING:
    from tunesmith.evidence import Questions
    from tunesmith.opening import Opened


def _feed(opened: "Opened", model: Packed, refer: Refer) -> Feed:
    share = not getattr(opened.recipe.method, "dropout", 0)
    if opened.recipe.objective.kind == "distill":
        return taught_feed(opened, model, share=share)
    return token_feed(opened.tokens_per_pass, share=share)


def _sizes(questions: "Questions") -> list[int]:
    if not questions.labelled:
        return list(map(len, questions.examples))
    # Each choice begins with the prompt's last token.
    return [len(i.prompt) - 1 + sum(len(choice) + 1 for choice in i.choices) for i in questions.items]


def _outcomes(
    model: Scorer, questions: "Questions", places: Sequence[int], tokens_per_pass: int, device: torch.device
) -> list[Outcome]:
    ask = _labelled if questions.labelled else _plain
    return ask(model, questions, places, tokens_per_pass, device)


def _labelled(
    model: Scorer, questions: "Questions", places: Sequence[int], tokens_per_pass: int, device: torch.device
) -> list[Outcome]:
    """The gold answer's likelihood is that of one of the choices: a prompt is read once for all."""
    labels, items = questions.prepared.labels, [questions.items[place] for place in places]
    found = []
    for item, choice in zip(items, classify(model, items, tokens_per_pass, device), strict=True):
        assert item.label is not None
        gold = labels.index(item.label)
        nll, tokens = -choice.scores[gold], len(item.choices[gold])
        found.append(Outcome(item.row, nll, tokens, labels[choice.predicted], item.label, reference=item.answer))
    return found


def _plain(
    model: Scorer, questions: "Questions", places: Sequence[int], tokens_per_pass: int, device: torch.device
) -> list[Outcome]:
    examples = [questions.examples[place] for place in places]
    references = {item.row: item.answer for item in questions.items}
    return [
        Outcome(example.row, nll, tokens, reference=references.get(example.row, ""))
        for example, (nll, tokens) in zip(
            examples, score_examples(model, examples, tokens_per_pass, device), strict=True
        )
    ]


TASK = Task(_feed, _sizes, _outcomes)
