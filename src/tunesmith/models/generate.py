"""Writing answers: a batch of prompts, one token at a time, with transformers' key-value cache.

Shapes: B prompts, S tokens so far, V vocabulary.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from tunesmith.core.virtual import virtual_of


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn. A temperature of 0 takes the likeliest."""

    tokens: int = 128  # the longest answer
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


def generate(network: Any, prompts: Sequence[Sequence[int]], stop: set[int], sampling: Sampling) -> list[list[int]]:
    """-> the answer to each prompt as tokens, without the stop token. An answer does not depend on its neighbours."""
    answers: list[list[int]] = [[] for _ in prompts]
    for places in _side_by_side(network, prompts):
        for tokens in step_by_step(network, [prompts[place] for place in places], stop, sampling, places):
            for place, token in zip(places, tokens, strict=True):
                if token is not None:
                    answers[place].append(token)
    return answers


def _side_by_side(network: Any, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    """-> the places of prompts that may be answered together.

    A sliding window counts padding, which stands between virtual tokens and a short text: those wait for their like.
    """
    config = network.config.get_text_config()
    if virtual_of(network) is None or getattr(config, "sliding_window", None) is None:
        return [list(range(len(prompts)))]
    by_length: dict[int, list[int]] = {}
    for place, prompt in enumerate(prompts):
        by_length.setdefault(len(prompt), []).append(place)
    return list(by_length.values())


def step_by_step(
    network: Any,
    prompts: Sequence[Sequence[int]],
    stop: set[int],
    sampling: Sampling,
    places: Sequence[int] | None = None,
) -> Iterator[list[int | None]]:
    """Yield the next token of each prompt, or None where the answer has ended.

    `places`: the numbers of the prompts, which a draw depends on; 0, 1, ... by default.
    """
    device = network.get_input_embeddings().weight.device
    tokens, present = _left_padded(prompts, device)
    cache = DynamicCache(config=network.config)
    draws = [torch.Generator().manual_seed(sampling.seed + i) for i in places or range(len(prompts))]
    open_ = [True] * len(prompts)
    for _ in range(sampling.tokens):
        with torch.no_grad():
            logits = _next_logits(network, tokens, present, cache)  # (B, V)
        chosen = [_draw(row, sampling, draw) for row, draw in zip(logits, draws, strict=True)]
        open_ = [still and token not in stop for still, token in zip(open_, chosen, strict=True)]
        yield [token if still else None for token, still in zip(chosen, open_, strict=True)]
        if not any(open_):
            return
        tokens = torch.tensor(chosen, device=device)[:, None]
        present = torch.cat([present, torch.ones_like(tokens)], 1)


def _next_logits(network: Any, tokens: Tensor, present: Tensor, cache: DynamicCache) -> Tensor:
    positions = (present.cumsum(1) - 1).clamp_(min=0)[:, -tokens.shape[1] :]
    # An index, not a count: the slice of a count is not contiguous, and torch then copies the head for each row.
    last = torch.tensor([tokens.shape[1] - 1], device=tokens.device)
    result = network(
        input_ids=tokens,
        attention_mask=present,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=last,
    )
    return result.logits[:, -1].float().cpu()


def _left_padded(prompts: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    longest = max(map(len, prompts))
    tokens = torch.zeros(len(prompts), longest, dtype=torch.long)
    present = torch.zeros_like(tokens)
    for i, prompt in enumerate(prompts):
        tokens[i, longest - len(prompt) :] = torch.tensor(prompt)
        present[i, longest - len(prompt) :] = 1
    return tokens.to(device), present.to(device)


def _draw(logits: Tensor, sampling: Sampling, draw: torch.Generator) -> int:
    """(V,) -> a token."""
    if sampling.temperature == 0:
        return int(logits.argmax())
    p = torch.softmax(logits / sampling.temperature, -1)
    if sampling.top_p < 1:
        ordered, places = p.sort(descending=True)
        beyond = ordered.cumsum(0) - ordered >= sampling.top_p  # the smallest set that holds top_p stays
        p = torch.zeros_like(p).index_put_((places,), ordered.masked_fill(beyond, 0.0))
    return int(torch.multinomial(p, 1, generator=draw))


Decode = Callable[[list[int]], str]


def pieces(tokens: Iterator[list[int | None]], decode: Decode) -> Iterator[str]:
    """The text of a single growing answer, in pieces that never break a character."""
    so_far: list[int] = []
    shown = ""
    for step in tokens:
        if step[0] is None:
            break
        so_far.append(step[0])
        text = decode(so_far)
        if not text.endswith("\ufffd"):
            yield text[len(shown) :]
            shown = text
    rest = decode(so_far)[len(shown) :]
    if rest:
        yield rest
