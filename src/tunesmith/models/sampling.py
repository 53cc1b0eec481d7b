"""How the next token is drawn from what the network says: for a whole batch at once, a row never seeing its neighbours.

The order is that of transformers: repetition penalty (https://arxiv.org/abs/1909.05858), a schema's mask, temperature,
top-k (https://arxiv.org/abs/1805.04833), top-p (https://arxiv.org/abs/1904.09751), min-p
(https://arxiv.org/abs/2407.01082). Then argmax p_v / E_v with exponential noise E, which draws from p.

The noise of a row is a function of the seed, the row's number and the position (Philox, a counter-based generator:
https://doi.org/10.1145/2063384.2063405), so that neither batch nor slot nor order matters; and since the noise belongs
to tokens, not to places of a sorted list, a rounding in p changes the choice as rarely as it can.

Shapes: B rows, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tunesmith.core.errors import UserError

HIDDEN = float("-inf")
FEW = 256  # the likeliest tokens that are put in order first: top-p seldom needs more


@dataclass(frozen=True, slots=True)
class Sampling:
    """How an answer is drawn and where it ends. A temperature of 0 takes the likeliest token."""

    tokens: int = 128  # the longest answer
    temperature: float = 0.0
    top_k: int | None = None  # draw from so many likeliest tokens
    top_p: float = 1.0  # draw from the fewest likeliest tokens that hold so much
    min_p: float = 0.0  # draw from tokens that are at least so likely, as a share of the likeliest
    repetition_penalty: float = 1.0  # above 1: what the prompt or the answer has already becomes less likely
    seed: int = 0
    stop: tuple[str, ...] = ()  # texts that end an answer and are cut off
    schema: dict[str, Any] | None = None  # a JSON schema that the answer must fit

    def __post_init__(self) -> None:
        """Raises UserError for a value that means nothing."""
        wrong = [
            (self.tokens < 1, "tokens", "at least 1"),
            (not 0 <= self.temperature < float("inf"), "temperature", "0 or more"),
            (self.top_k is not None and self.top_k < 1, "top_k", "at least 1, or None for all tokens"),
            (not 0 < self.top_p <= 1, "top_p", "more than 0 and at most 1"),
            (not 0 <= self.min_p <= 1, "min_p", "between 0 and 1"),
            (not 0 < self.repetition_penalty < float("inf"), "repetition_penalty", "more than 0; 1 changes nothing"),
            (self.seed < 0, "seed", "0 or more"),
            (not all(self.stop), "stop", "texts that are not empty"),
        ]
        for is_wrong, name, what in wrong:
            if is_wrong:
                raise UserError(f"{name}: {getattr(self, name)!r}; must be {what}")

    @property
    def greedy(self) -> bool:
        return self.temperature == 0


@dataclass(frozen=True, slots=True)
class Row:
    """What a draw depends on beside the logits."""

    number: int  # the row's own
    position: int  # tokens that it has drawn before


@dataclass(frozen=True, slots=True)
class Known:
    """What changes the logits of some rows. None: of no row."""

    seen: Tensor | None = None  # (B, V), true for tokens of prompt and answer
    allowed: Tensor | None = None  # (B, V), true for tokens that the schema lets come next


def draw(logits: Tensor, sampling: Sampling, rows: Sequence[Row], known: Known) -> tuple[list[int], list[float]]:
    """(B, V) in float32 -> a token for each row, and its log-probability.

    That is log softmax(logits / temperature) of the chosen token (temperature 1 when greedy): of the distribution
    before repetition penalty, schema and truncation, which is what a trainer computes again.
    """
    warm = logits if sampling.temperature in (0, 1) else logits / sampling.temperature
    left = shaped(logits, sampling, known)
    if sampling.greedy:
        chosen = left.argmax(-1)
    else:
        chosen = (left.softmax(-1) / noise(sampling.seed, rows, logits.shape[-1])).argmax(-1)
    if not left.gather(1, chosen[:, None]).isfinite().all():
        raise UserError("the model's logits are not numbers, nothing can be drawn from them; load it in float32")
    logprobs = warm.gather(1, chosen[:, None])[:, 0] - warm.logsumexp(-1)
    return chosen.tolist(), logprobs.tolist()


def noise(seed: int, rows: Sequence[Row], size: int) -> Tensor:
    """-> (B, V), independent, exponentially distributed with rate 1; fine enough for a token of probability 1e-9."""
    drawn = np.empty((len(rows), size), dtype=np.float32)
    for place, row in enumerate(rows):
        source = np.random.Philox(key=np.array([seed, row.number], dtype=np.uint64), counter=row.position << 128)
        drawn[place] = np.random.Generator(source).integers(0, 1 << 32, size, dtype=np.uint32)
    return torch.from_numpy(drawn).add_(0.5).mul_(-(2.0**-32)).log1p_().neg_()


def shaped(logits: Tensor, sampling: Sampling, known: Known) -> Tensor:
    """(B, V) -> the logits from which a token is drawn; those that must not be drawn are -inf."""
    left = logits
    if known.seen is not None and sampling.repetition_penalty != 1:
        penalty = sampling.repetition_penalty
        left = torch.where(known.seen, torch.where(left < 0, left * penalty, left / penalty), left)
    if known.allowed is not None:
        left = left.masked_fill(~known.allowed, HIDDEN)
    if sampling.greedy:
        return left
    left = left / sampling.temperature
    if sampling.top_k is not None:
        left = top_k(left, sampling.top_k)
    if sampling.top_p < 1:
        left = top_p(left, sampling.top_p)
    return min_p(left, sampling.min_p) if sampling.min_p > 0 else left


def top_k(logits: Tensor, k: int) -> Tensor:
    """Hide what is less likely than the k-th; its equals stay."""
    least = logits.topk(min(k, logits.shape[-1]), -1).values[:, -1:]
    return logits.masked_fill(logits < least, HIDDEN)


def top_p(logits: Tensor, p: float) -> Tensor:
    """Hide what is not among the fewest likeliest tokens that hold p; equals of the last of them stay."""
    total = logits.logsumexp(-1, keepdim=True)
    ordered = logits.topk(min(FEW, logits.shape[-1]), -1).values
    if ((ordered - total).exp_().sum(-1) < p).any():
        ordered = logits.sort(-1, descending=True).values
    share = (ordered - total).exp_()
    before = share.cumsum(-1) - share
    before[:, 0] = 0
    least = ordered.masked_fill(before >= p, float("inf")).amin(-1, keepdim=True)
    return logits.masked_fill(logits < least, HIDDEN)


def min_p(logits: Tensor, p: float) -> Tensor:
    """Hide what is less likely than p times the likeliest."""
    share = logits.softmax(-1)
    return logits.masked_fill(share < p * share.amax(-1, keepdim=True), HIDDEN)
