"""Compared and rated answers into packed passes, with what the frozen reference says of each answer.

KTO also wants to know how far the policy has moved: z = max(0, mean of log pi(y') - log ref(y')), y' being answers to
other prompts. It is measured here, by the policy as it is, once for all passes of a step.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import ceil

import torch

from tunesmith.core.answers import Answers, PairBatch, RatedBatch, tree
from tunesmith.core.batch import Example
from tunesmith.streams.stream import Feed
from tunesmith.streams.tokens import fitted

FULL = 768  # tokens of a pass with which products are about as fast as they get

Scores = tuple[float, ...]  # the log-probability of each answer of a tree
Reference = Callable[[Answers], Scores]
Score = Callable[[Sequence[Answers]], Sequence[Scores]]


def no_reference(one: Answers) -> Scores:
    """For objectives that do not look at a reference."""
    return (0.0,) * one.count


def pass_limit(trees: Sequence[Answers], batch_size: int, most: int) -> int:
    """-> tokens of a pass over compared answers: no more than a step has that learns one answer of each row.

    So pairs need about the memory that learning the better answers by SFT needs. A pass that products are slow for is
    never made: one of `FULL` tokens is always allowed, if it fits `most`.
    """
    alone = sum(_trunk(t) + (len(t) - _trunk(t)) / t.count for t in trees) / len(trees)
    return min(most, max(FULL, ceil(batch_size * alone)))


def _trunk(one: Answers) -> int:
    assert one.branches is not None
    return one.branches.count(0)


def pair_feed(reference: Reference, tokens_per_pass: int) -> Feed:
    """-> passes of trees whose answers are compared. A pass holds at most so many tokens, or one longer tree."""

    def passes(trees: Sequence[Answers], step: int | None) -> list[PairBatch]:
        return [PairBatch.of(group, [reference(t) for t in group]) for group in fitted(trees, tokens_per_pass)]

    return passes


def rated_feed(reference: Reference, strangers: Mapping[int, Answers], policy: Score, tokens_per_pass: int) -> Feed:
    """`strangers`: by the id of a tree its prompt with another's answer; `policy` scores them as the model is now."""

    def passes(trees: Sequence[Answers], step: int | None) -> list[RatedBatch]:
        drift = torch.tensor(moved([strangers[id(t)] for t in trees], reference, policy))
        made = [RatedBatch.of(group, [reference(t) for t in group]) for group in fitted(trees, tokens_per_pass)]
        return [replace(batch, drift=drift) for batch in made]

    return passes


def moved(strangers: Sequence[Answers], reference: Reference, policy: Score) -> float:
    """-> z: how much likelier the policy finds answers that belong elsewhere; 0 where it finds them less likely."""
    now = policy(strangers)
    apart = [a - b for t, said in zip(strangers, now, strict=True) for a, b in zip(said, reference(t), strict=True)]
    return max(0.0, sum(apart) / len(apart))


def strangers(trees: Sequence[Answers], context: int) -> dict[int, Answers]:
    """-> by the id of each tree: its prompt with the first answer of the next tree that has another prompt.

    The end of the answer is cut where both together are longer than the model reads.
    """
    found: dict[int, Answers] = {}
    parts = [_prompt_and_answer(t) for t in trees]
    for i, (prompt, _) in enumerate(parts):
        others = (parts[(i + k) % len(parts)] for k in range(1, len(parts)))
        answer = next((a for p, a in others if p != prompt), parts[(i + 1) % len(parts)][1])
        tokens = [*prompt, *(token for token, _ in answer)][:context]
        learned = [*[False] * len(prompt), *(trained for _, trained in answer)][:context]
        if not any(learned):  # the prompt fills the context: its own answer must do
            found[id(trees[i])] = trees[i]
            continue
        found[id(trees[i])] = tree([Example(tokens, learned, trees[i].row)])
    return found


def _prompt_and_answer(one: Answers) -> tuple[list[int], list[tuple[int, bool]]]:
    """-> the tokens before the first answer, and those of the first answer with whether each is learned."""
    assert one.branches is not None
    rows = zip(one.tokens, one.trained, one.branches, strict=True)
    path = [(token, trained) for token, trained, branch in rows if branch < 2]
    first = next(i for i, (_, trained) in enumerate(path) if trained)
    return [token for token, _ in path[:first]], path[first:]
