"""The plain way through any network: one example a row, padded on the right, full logits. Slow, and the yardstick.

Shapes: B rows of S tokens, L labelled ones, V vocabulary; A places that are asked for, R texts, C scores.
"""

from typing import Any

import torch
from torch import Tensor

from tunesmith.core.batch import IGNORED, TokenBatch
from tunesmith.core.headed import head_modules


def padded_logprobs(network: Any, batch: TokenBatch) -> Tensor:
    """-> (L,), the log-probability of every label that is not IGNORED, in their order, float32."""
    return padded_scores(network, batch)[0]


def padded_scores(network: Any, batch: TokenBatch) -> tuple[Tensor, Tensor]:
    """-> (L,) as `padded_logprobs`, and (L,), 1 where no token is more likely than the label."""
    scores, labels = padded_distribution(network, batch)
    chosen = scores.gather(1, labels[:, None])[:, 0]
    return chosen, (chosen >= scores.detach().amax(-1)).float()


def padded_distribution(network: Any, batch: TokenBatch) -> tuple[Tensor, Tensor]:
    """-> (L, V), the log-probability of every token at each place that has a label, and (L,), the labels."""
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
    return torch.log_softmax(logits[labelled].float(), -1), labels[labelled]


def _unfold(batch: TokenBatch) -> list[tuple[Tensor, Tensor]]:
    """-> (tokens, labels) of each example; a tree becomes one row a branch, its trunk trained in the first only."""
    rows = []
    for places, copied in unfolded(batch):
        labels = batch.labels[places]
        labels[:copied] = IGNORED
        rows.append((batch.tokens[places], labels))
    return rows


def unfolded(batch: TokenBatch) -> list[tuple[Tensor, int]]:
    """-> (S,), the places in the packed row of the tokens of each example, a tree being one example a branch.

    And how many at its beginning are copies of what an earlier branch of the same tree begins with.
    """
    rows: list[tuple[Tensor, int]] = []
    start, places = batch.shared, torch.arange(len(batch.tokens), device=batch.tokens.device)
    for length in batch.lengths:
        part = torch.cat([places[: batch.shared], places[start : start + length]])
        branches = batch.branches[part] if batch.branches is not None else torch.zeros_like(part)
        trunk = part[branches == 0]
        numbers = branches[branches != 0].unique_consecutive().tolist()
        for branch in numbers:
            copied = 0 if branch == numbers[0] else len(trunk)
            rows.append((torch.cat([trunk, part[branches == branch]]), copied))
        if not numbers:
            rows.append((part, 0))
        start += length
    return rows


def padded_heads(network: Any, batch: TokenBatch, places: Tensor, *, encoder: bool) -> Tensor:
    """(A,) -> (A, C), float32: what the head says at places of the packed row, or of the texts that they lie in."""
    texts = [rows for rows, _ in unfolded(batch)]
    longest = max(map(len, texts))
    shape = (len(texts), longest)
    tokens, present = batch.tokens.new_zeros(shape), batch.tokens.new_zeros(shape)
    row, column = torch.zeros_like(batch.tokens), torch.zeros_like(batch.tokens)  # (T,), where each token went
    for i in reversed(range(len(texts))):  # of copies the first counts
        length = torch.arange(len(texts[i]), device=tokens.device)
        tokens[i, : len(length)], present[i, : len(length)] = batch.tokens[texts[i]], 1
        row[texts[i]], column[texts[i]] = i, length
    if encoder:
        logits = network(input_ids=tokens, attention_mask=present).logits  # (R, C)
        return logits.float()[row[places]]
    everywhere = _of_all_tokens(network, tokens, present)  # (R, S, C)
    behind = everywhere.shape[1] - longest  # virtual tokens stand before the text
    return everywhere.float()[row[places], column[places] + behind]


def _of_all_tokens(network: Any, tokens: Tensor, present: Tensor) -> Tensor:
    """-> (R, S, C), what the head of a decoder made of every token before transformers chose one of them."""
    kept: list[Tensor] = []
    head = network.get_submodule(head_modules(network)[0])
    hook = head.register_forward_hook(lambda _module, _inputs, result: kept.append(result))
    try:
        network(input_ids=tokens, attention_mask=present, use_cache=False)
    finally:
        hook.remove()
    return kept[0]
