"""The plain way through any network: one example a row, padded on the right, full logits. Slow, and the yardstick.

Shapes: B rows of S tokens, L labelled ones, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor

from tunesmith.core.batch import IGNORED, TokenBatch


def padded_logprobs(network: Any, batch: TokenBatch) -> Tensor:
    """-> (L,), the log-probability of every label that is not IGNORED, in their order, float32."""
    return padded_scores(network, batch)[0]


def padded_scores(network: Any, batch: TokenBatch) -> tuple[Tensor, Tensor]:
    """-> (L,) as `padded_logprobs`, and (L,), 1 where no token is more likely than the label."""
    rows = _unfold(batch)
    longest = max(len(tokens) for tokens, _ in rows)
    device = batch.tokens.device
    tokens = torch.zeros(len(rows), longest, dtype=torch.long, device=device)
    labels = torch.full_like(tokens, IGNORED)
    present = torch.zeros_like(tokens)
    for i, (t, y) in enumerate(rows):
        tokens[i, : len(t)], labels[i, : len(y)], present[i, : len(t)] = t, y, 1
    logits = network(input_ids=tokens, attention_mask=present, use_cache=False).logits  # (B, S, V)
    labelled = labels != IGNORED
    scores = torch.log_softmax(logits[labelled].float(), -1)  # (L, V)
    chosen = scores.gather(1, labels[labelled][:, None])[:, 0]
    return chosen, (chosen >= scores.detach().amax(-1)).float()


def _unfold(batch: TokenBatch) -> list[tuple[Tensor, Tensor]]:
    """-> (tokens, labels) of each example; a tree becomes one row a branch, its trunk trained in the first only."""
    rows, start = [], batch.shared
    places = torch.arange(len(batch.tokens), device=batch.tokens.device)
    for length in batch.lengths:
        part = torch.cat([places[: batch.shared], places[start : start + length]])
        tokens, labels = batch.tokens[part], batch.labels[part]
        branches = batch.branches[part] if batch.branches is not None else torch.zeros_like(tokens)
        trunk = branches == 0
        for branch in branches[~trunk].unique_consecutive().tolist() or [0]:
            own = branches == branch
            first = branch == int(branches[~trunk][0]) if branch else True
            heads = labels[trunk] if first else torch.full_like(labels[trunk], IGNORED)
            rows.append(
                (torch.cat([tokens[trunk], tokens[own]]), torch.cat([heads, labels[own]]))
                if branch
                else (tokens, labels)
            )
        start += length
    return rows
