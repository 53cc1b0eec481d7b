"""Which tokens of a step deserve what: each paper's advantages and weights, set on the answers of all prompts.

`streams.advantages` holds the formulas; here they meet the objectives. What is set is a number for each token.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tunesmith.streams import advantages


@dataclass(slots=True)
class Answered:
    """One answer to one prompt. Tensors are (l,), a number for each of its tokens."""

    tokens: list[int]
    sampler: Tensor  # log-probabilities as they were when it was drawn
    ended: bool  # by a stop token, not by its length
    reward: float = 0.0
    old: Tensor = field(default_factory=lambda: torch.zeros(0))  # the same by the way that training goes
    reference: Tensor = field(default_factory=lambda: torch.zeros(0))
    value: Tensor = field(default_factory=lambda: torch.zeros(0))
    goal: Tensor = field(default_factory=lambda: torch.zeros(0))
    advantage: Tensor = field(default_factory=lambda: torch.zeros(0))
    weight: Tensor = field(default_factory=lambda: torch.zeros(0))


Groups = Sequence[Sequence[Answered]]
"""The answers to each prompt."""


def tells(group: Sequence[Answered]) -> bool:
    """-> whether some answers of a group are worth more than others: else it teaches nothing."""
    rewards = [answer.reward for answer in group]
    return max(rewards) - min(rewards) > 1e-9 * (1 + max(map(abs, rewards)))


def give_credit(objective: Any, groups: Groups) -> None:
    """Set `advantage`, `weight` and `goal` of every answer of a step."""
    every = [answer for group in groups for answer in group]
    for answer in every:
        answer.goal = torch.zeros(len(answer.tokens))
    _CREDIT[objective.kind](objective, groups, every)


def _grpo(objective: Any, groups: Groups, every: Sequence[Answered]) -> None:
    lengths = [len(answer.tokens) for answer in every]
    weights = {
        "grpo": advantages.of_answers,
        "dapo": advantages.of_tokens,
        "dr_grpo": lambda of: advantages.of_longest(of, objective.answer_tokens),
    }[objective.variant](lengths)
    found = advantages.grouped(_rewards(groups), scaled=objective.variant != "dr_grpo")
    _spread(every, found, weights)


def _rloo(objective: Any, groups: Groups, every: Sequence[Answered]) -> None:
    far = torch.tensor([[float((a.old - a.reference).sum()) for a in group] for group in groups])
    found = advantages.leave_one_out(_rewards(groups) - objective.beta * far)
    _spread(every, found, advantages.of_answers([len(answer.tokens) for answer in every]))


def _ppo(objective: Any, groups: Groups, every: Sequence[Answered]) -> None:
    for answer in every:
        rewards = torch.zeros(len(answer.tokens))
        if objective.kl == "reward":
            rewards -= objective.beta * (answer.old - answer.reference)
        rewards[-1] += answer.reward
        found = advantages.expected(rewards, answer.value, discount=objective.discount, trace=objective.trace)
        answer.advantage, answer.goal = found, found + answer.value
        answer.weight = torch.ones(len(answer.tokens))
    white = advantages.whitened(torch.cat([answer.advantage for answer in every]))
    for answer, part in zip(every, white.split([len(answer.tokens) for answer in every]), strict=True):
        answer.advantage = part


def _rewards(groups: Groups) -> Tensor:
    """-> (N, G)"""
    return torch.tensor([[answer.reward for answer in group] for group in groups])


def _spread(every: Sequence[Answered], found: Tensor, weights: Sequence[float]) -> None:
    for answer, advantage, weight in zip(every, found.flatten().tolist(), weights, strict=True):
        answer.advantage = torch.full((len(answer.tokens),), advantage)
        answer.weight = torch.full((len(answer.tokens),), weight)


_CREDIT: dict[str, Callable[[Any, Groups, Sequence[Answered]], None]] = {"grpo": _grpo, "rloo": _rloo, "ppo": _ppo}
