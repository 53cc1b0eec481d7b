"""Virtual tokens in a network's own forward pass: before the text of every call, and before the first token of a cache.

Packed passes read them by `core.virtual.virtual_of`; everything else (generation, padded rows, another program) calls
the network, and two hooks of torch's put them there. This is the one file of `methods/` that knows transformers: keys
and values that are learned *are* its cache.

Shapes: B rows, S tokens, N virtual tokens, D width; L layers, K key/value heads, H width of a head.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from tunesmith.core.errors import UserError
from tunesmith.core.virtual import NAME, VirtualTokens
from tunesmith.methods.peft_names import FILE

STORED = "prompt_embeddings"  # PEFT's name of the one tensor
SPREAD = 0.02  # of first values that no data gave
Named = dict[str, Any]


def hang(network: nn.Module, tokens: VirtualTokens) -> None:
    """Freeze `network` and put `tokens` before everything that it reads."""
    if hasattr(network, NAME):
        raise UserError("method: the model has virtual tokens already; two such methods cannot stand over each other")
    network.requires_grad_(False)
    network.add_module(NAME, tokens)
    tokens.hooks += [
        network.register_forward_pre_hook(_before, with_kwargs=True),
        network.register_forward_hook(_after, with_kwargs=True),
    ]


def take_down(network: nn.Module) -> None:
    """The network as it was before `hang`."""
    tokens: Any = getattr(network, NAME)
    for hook in tokens.hooks:
        hook.remove()
    tokens.hooks.clear()
    delattr(network, NAME)
    network.requires_grad_(False)


def _before(network: Any, inputs: tuple[Any, ...], named: Named) -> tuple[tuple[Any, ...], Named] | None:
    tokens: VirtualTokens = getattr(network, NAME)
    if not tokens.active:
        return None
    named = dict(named)
    if inputs:
        named["input_ids"] = inputs[0]
    ids, cache = named["input_ids"], named.get("past_key_values")
    first = cache is None or not cache.get_seq_length()
    if tokens.rows is not None:
        named = _spelled_out(tokens, named)
    if (mask := named.get("attention_mask")) is not None:
        named["attention_mask"] = torch.cat([_present(tokens, mask), mask], 1)
    if (positions := named.get("position_ids")) is not None:
        named["position_ids"] = positions + _present(tokens, positions).sum(1, keepdim=True)
    keys_values = tokens.keys_values()
    if first and keys_values is not None:
        named["past_key_values"] = filled(network, keys_values, len(ids), cache)
    elif first:
        named = _with_embeddings(network, tokens, named)
    return (), named


def _present(tokens: VirtualTokens, like: Tensor) -> Tensor:
    """-> (B, N) of ones, or of zeros in the rows of a mixed batch that have none."""
    if tokens.rows is None:
        return like.new_ones(len(like), tokens.count)
    return tokens.rows.to(like.device, like.dtype)[:, None].expand(-1, tokens.count)


def _spelled_out(tokens: VirtualTokens, named: Named) -> Named:
    """The mask and the positions that a network takes when none are given: the rows of a mixed batch differ in them."""
    ids, cache = named["input_ids"], named.get("past_key_values")
    seen = max(cache.get_seq_length() - tokens.count, 0) if cache is not None else 0
    if named.get("attention_mask") is None:
        named["attention_mask"] = ids.new_ones(len(ids), seen + ids.shape[1])
    if named.get("position_ids") is None:
        named["position_ids"] = torch.arange(seen, seen + ids.shape[1], device=ids.device).expand(len(ids), -1)
    return named


def filled(network: Any, keys_values: Tensor, rows: int, cache: Any = None) -> Any:
    """(N, 2 L, K, H), or one for each row -> a cache that holds them for each of `rows` rows."""
    cache = DynamicCache(config=network.config) if cache is None else cache
    each = keys_values.to(network.dtype).expand(rows, *keys_values.shape[-4:])
    grid = each.permute(2, 0, 3, 1, 4)  # (2 L, B, K, N, H)
    for layer in range(len(grid) // 2):
        cache.update(grid[2 * layer], grid[2 * layer + 1], layer)
    return cache


def read(network: Any, tokens: Tensor) -> Any:
    """(B, S) -> a cache of what `network` makes of them; it forgets nothing, whatever the windows of the layers."""
    return network(input_ids=tokens, past_key_values=DynamicCache(), use_cache=True).past_key_values


def _with_embeddings(network: Any, tokens: VirtualTokens, named: Named) -> Named:
    ids, prompt = named.pop("input_ids"), tokens.embeddings()
    assert prompt is not None
    text = network.get_input_embeddings()(ids)  # (B, S, D)
    named["inputs_embeds"] = torch.cat([prompt.to(text.dtype).expand(len(ids), -1, -1), text], 1)
    if (positions := named.get("position_ids")) is not None:
        before = torch.arange(tokens.count, device=ids.device).expand(len(ids), -1)
        named["position_ids"] = torch.cat([before, positions], 1)
    if isinstance(kept := named.get("logits_to_keep"), Tensor):
        named["logits_to_keep"] = kept + tokens.count
    return named


def _after(network: Any, _inputs: tuple[Any, ...], named: Named, result: Any) -> Any:
    """Nobody asked what follows a virtual token."""
    embedded, tokens = named.get("inputs_embeds"), getattr(network, NAME)
    of_tokens = result.logits.ndim == 3  # and not the scores of a text
    if tokens.active and embedded is not None and of_tokens and result.logits.shape[1] == embedded.shape[1]:
        result.logits = result.logits[:, tokens.count :]
    return result


def first_tokens(examples: Any, count: int) -> list[int]:
    """-> `count` real tokens: from the beginning of the rows, again and again when they are few."""
    found: list[int] = []
    while len(found) < count:
        for tokens in examples:
            found += list(tokens)
            if len(found) >= count:
                break
    return found[:count]


def counted(described: Mapping[str, Any]) -> int:
    """-> the number of virtual tokens that a file names. Raises UserError for files that are of no use here."""
    if described.get("num_transformer_submodules") not in (None, 1):
        raise UserError(f"{FILE}: `num_transformer_submodules` must be 1; the file is for an encoder and a decoder")
    return int(described["num_virtual_tokens"])
