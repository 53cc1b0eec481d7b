"""From rewards to what a token counts: the advantages and weights of the papers, as plain functions of numbers.

Shapes: N prompts, G answers to each, l tokens of one answer.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

SPREAD = 1e-4  # added to a standard deviation


def grouped(rewards: Tensor, *, scaled: bool) -> Tensor:
    """(N, G) -> (N, G): against the mean of the group, in its standard deviations if `scaled`. Zero without spread."""
    centred = rewards - rewards.mean(1, keepdim=True)
    return centred / (rewards.std(1, keepdim=True) + SPREAD) if scaled else centred


def leave_one_out(rewards: Tensor) -> Tensor:
    """(N, G) -> (N, G): against the mean of the others of the group."""
    others = (rewards.sum(1, keepdim=True) - rewards) / (rewards.shape[1] - 1)
    return rewards - others


def of_answers(lengths: Sequence[int]) -> list[float]:
    """-> the weight of each answer's tokens, so that the mean over all tokens is the mean over answers of theirs."""
    tokens, count = sum(lengths), len(lengths)
    return [tokens / (count * length) for length in lengths]


def of_tokens(lengths: Sequence[int]) -> list[float]:
    """-> every token counts the same."""
    return [1.0] * len(lengths)


def of_longest(lengths: Sequence[int], longest: int) -> list[float]:
    """-> so that the mean over all tokens is the sum over an answer's, by `longest`, and the mean over answers."""
    return [sum(lengths) / (len(lengths) * longest)] * len(lengths)


def expected(rewards: Tensor, values: Tensor, *, discount: float, trace: float) -> Tensor:
    """GAE of one answer, (l,), (l,) -> (l,):  A_t = d_t + discount trace A_t+1,  d_t = r_t + discount v_t+1 - v_t.

    Nothing is expected behind the last token.
    """
    found, ahead, following = torch.zeros_like(rewards), 0.0, 0.0
    for t in range(len(rewards) - 1, -1, -1):
        surprise = float(rewards[t]) + discount * following - float(values[t])
        ahead = surprise + discount * trace * ahead
        found[t], following = ahead, float(values[t])
    return found


def whitened(values: Tensor) -> Tensor:
    """(L,) -> (L,), of mean 0 and variance 1."""
    return (values - values.mean()) * torch.rsqrt(values.var() + 1e-8) if len(values) > 1 else values
