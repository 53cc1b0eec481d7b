"""From hidden states at labelled places to the log-probability of each label, without keeping logits.

log p(y) = z_y - log sum_v exp(z_v)        z = h W'

Since every log-probability is a number of its own, its gradient in h, W_y - sum_v p_v W_v, is known as soon as the
logits are: it is kept instead of them (the idea of https://arxiv.org/abs/2410.10989, without its kernels).

Shapes: L labelled tokens, D width, V vocabulary.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

CHUNK = 128  # labelled tokens whose logits exist at one time


def label_logprobs(hidden: Tensor, labels: Tensor, head: nn.Module, shape: Callable[[Tensor], Tensor] | None) -> Tensor:
    """(L, D), (L,) -> (L,) in float32. `shape` is what a family does to its logits: caps, scales."""
    frozen = type(head) is nn.Linear and head.bias is None and not head.weight.requires_grad
    if frozen and shape is None:
        return FrozenHead.apply(hidden, labels, head.weight)
    return plain_label_logprobs(hidden, labels, head, shape)


def plain_label_logprobs(
    hidden: Tensor, labels: Tensor, head: nn.Module, shape: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """The twin, for heads that train or are more than one product: logits are computed again in the backward pass."""

    def part(h: Tensor, y: Tensor) -> Tensor:
        logits = head(h) if shape is None else shape(head(h))
        return torch.log_softmax(logits.float(), -1).gather(1, y[:, None])[:, 0]

    pairs = zip(hidden.split(CHUNK), labels.split(CHUNK), strict=True)
    return torch.cat([checkpoint(part, h, y, use_reentrant=False) for h, y in pairs])


def choice_logprobs(
    hidden: Tensor, choices: Tensor, head: nn.Module, shape: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """(L, D), (L, K) -> (L, K) in float32: the log-probabilities of several tokens for each place."""

    def part(h: Tensor, y: Tensor) -> Tensor:
        logits = head(h) if shape is None else shape(head(h))
        return torch.log_softmax(logits.float(), -1).gather(1, y)

    pairs = zip(hidden.split(CHUNK), choices.split(CHUNK), strict=True)
    return torch.cat([checkpoint(part, h, y, use_reentrant=False) for h, y in pairs])


@torch.no_grad()
def distributions(
    hidden: Tensor, head: nn.Module, shape: Callable[[Tensor], Tensor] | None, known: int
) -> Iterator[Tensor]:
    """(L, D) -> (l, V), (l, V), ... in float32: the log-probabilities of the first `known` tokens, a few rows each.

    Vocabularies may be padded behind the last token; what stands there is left out.
    """
    for h in hidden.split(CHUNK):
        logits = head(h) if shape is None else shape(head(h))
        yield torch.log_softmax(logits.float()[:, :known], -1)


@torch.no_grad()
def label_scores(hidden: Tensor, labels: Tensor, head: nn.Module, shape: Callable[[Tensor], Tensor] | None) -> Tensor:
    """(L, D), (L,) -> (L, 2): `label_logprobs`, and 1 where no token is more likely than the label."""
    parts = []
    for h, y in zip(hidden.split(CHUNK), labels.split(CHUNK), strict=True):
        logits = (head(h) if shape is None else shape(head(h))).float()  # (l, V)
        chosen, top = logits.gather(1, y[:, None])[:, 0], logits.amax(-1)
        total = logits.sub_(top[:, None]).exp_().sum(-1)
        parts.append(torch.stack([chosen - top - total.log(), (chosen >= top).float()], 1))
    return torch.cat(parts)


class FrozenHead(torch.autograd.Function):
    """`label_logprobs` when only the hidden states need a gradient."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
        result = torch.empty(len(labels), dtype=torch.float32, device=hidden.device)
        slope = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        for start in range(0, len(labels), CHUNK):
            part = slice(start, start + CHUNK)
            y = labels[part]
            logits = (hidden[part] @ weight.T).float()  # (l, V)
            chosen, top = logits.gather(1, y[:, None]), logits.amax(-1, keepdim=True)
            weights = logits.sub_(top).exp_()
            total = weights.sum(-1, keepdim=True)
            result[part] = (chosen - top - total.log())[:, 0]
            if slope is not None:
                slope[part] = weight[y] - (weights.div_(total).to(weight.dtype) @ weight)
        if slope is not None:
            ctx.save_for_backward(slope)
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (slope,) = ctx.saved_tensors
        return slope * grads[0].to(slope.dtype)[:, None], None, None
