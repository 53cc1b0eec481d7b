from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from tunesmith.core.batch import IGNORED, Example, TokenBatch
from tunesmith.evaluate.score import classify, score_examples, score_tokens

VOCABULARY = 11


def logprob(context: list[int], token: int) -> float:
    """A toy language model: any function of the whole context will do."""
    weights = torch.tensor([(sum((i + 1) * c for i, c in enumerate(context)) * (v + 3)) % 7 for v in range(VOCABULARY)])
    return float(torch.log_softmax(weights.float(), 0)[token])


def logprob_of(prompt: list[int], answer: list[int]) -> float:
    return sum(logprob(prompt + answer[:i], token) for i, token in enumerate(answer))


@dataclass
class Toy:
    """Sees what the rule of packed trees allows: the tokens before in the trunk and in the own branch."""

    passes: list[TokenBatch] = field(default_factory=list)

    def __call__(self, batch: TokenBatch) -> Tensor:
        assert not torch.is_grad_enabled()
        self.passes.append(batch)
        found, start = [], 0
        for length in batch.lengths:
            part = slice(start, start + length)
            tokens, labels = batch.tokens[part].tolist(), batch.labels[part].tolist()
            branches = [0] * length if batch.branches is None else batch.branches[part].tolist()
            for t in range(length):
                if labels[t] != IGNORED:
                    context = [tokens[s] for s in range(t + 1) if branches[s] in (0, branches[t])]
                    assert len(context) == batch.positions[start + t] + 1
                    found.append(logprob(context, labels[t]))
            start += length
        return torch.tensor(found)


@dataclass
class Question:
    prompt: list[int]
    choices: list[list[int]]


def examples() -> list[Example]:
    draw = torch.Generator().manual_seed(0)
    made = []
    for row, length in enumerate((4, 9, 2, 7, 1, 5)):
        tokens = torch.randint(VOCABULARY, (length,), generator=draw).tolist()
        made.append(Example(tokens, [t >= length // 2 for t in range(length)], row))
    return made


@pytest.mark.parametrize("tokens_per_pass", [1, 10, 1000])
def test_sums_come_back_in_order_however_the_passes_are_cut(tokens_per_pass):
    toy = Toy()
    found = score_examples(toy, examples(), tokens_per_pass)
    for (nll, count), example in zip(found, examples(), strict=True):
        cut = max(1, len(example) // 2)  # nothing stands before the first token: it cannot be scored
        tokens = list(example.tokens)
        assert count == len(tokens) - cut
        assert nll == pytest.approx(-logprob_of(tokens[:cut], tokens[cut:]), rel=1e-5)
    for batch in toy.passes:
        assert len(batch.tokens) <= tokens_per_pass or len(batch.lengths) == 1


@pytest.mark.parametrize("tokens_per_pass", [1, 10, 1000])
def test_the_right_tokens_are_counted_where_they_belong(tokens_per_pass):
    def even(batch: TokenBatch) -> Tensor:
        """The label itself stands for its log-probability; even ones are right."""
        labels = batch.labels[batch.labels != IGNORED]
        return torch.stack([-labels.float(), (labels % 2 == 0).float()], 1)

    found = score_tokens(even, examples(), tokens_per_pass)
    for (nll, count, right), example in zip(found, examples(), strict=True):
        trained = list(example.tokens)[max(1, len(example) // 2) :]
        assert (nll, count, right) == (sum(trained), len(trained), sum(token % 2 == 0 for token in trained))


def test_no_example_no_score():
    assert score_examples(Toy(), [], 10) == []
    assert score_examples(Toy(), [Example([1, 2, 3], [False] * 3, 0)], 10) == [(0.0, 0)]


@pytest.mark.parametrize("tokens_per_pass", [1, 20, 1000])
def test_the_most_likely_choice(tokens_per_pass):
    questions = [
        Question([1, 2, 3], [[4], [5, 6], [7]]),
        Question([9], [[1, 2, 3], [2]]),
        Question([3, 1, 4, 1, 5, 9, 2, 6], [[5], [3, 5], [8, 9], [7]]),
        Question([8, 8], [[2]]),
    ]
    toy = Toy()
    found = classify(toy, questions, tokens_per_pass)
    assert len({choice.predicted for choice in found}) > 1
    for choice, question in zip(found, questions, strict=True):
        expected = [logprob_of(question.prompt, answer) for answer in question.choices]
        assert choice.scores == pytest.approx(expected, rel=1e-5)
        assert choice.predicted == max(range(len(expected)), key=expected.__getitem__)
    read = sum(len(batch.tokens) for batch in toy.passes)
    assert read == sum(len(q.prompt) - 1 + sum(1 + len(c) for c in q.choices) for q in questions)


def test_a_question_without_an_answer_is_a_mistake_of_ours():
    with pytest.raises(AssertionError, match="not empty"):
        classify(Toy(), [Question([1], [[]])], 10)
