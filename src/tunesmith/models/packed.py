"""Packed rows through any transformers network, by its own seam for attention functions.

The network is not changed: while a packed row passes, its configuration names our attention function, which gets the
packing as a keyword that every layer hands down.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from transformers import AttentionInterface

from tunesmith.models.attention import Packing, attend

NAME = "tunesmith_packed"


class CannotPack(Exception):  # noqa: N818 - a finding about a family, not a fault
    """The network asks its attention for something that `attend` does not do."""


def packed_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **asked: Any
) -> tuple[Tensor, None]:
    """transformers' attention function: (1, H, T, D), (1, K, T, D) twice -> (1, T, H, D)."""
    packing = asked.get("packing")
    if packing is None:
        raise CannotPack(f"{type(module).__name__} does not hand keywords down to its attention")
    if attention_mask is not None or any(asked.get(k) is not None for k in ("softcap", "s_aux", "position_bias")):
        raise CannotPack(f"{type(module).__name__} wants a special attention")
    if packing.bidirectional and asked.get("sliding_window") is not None:
        raise CannotPack(f"{type(module).__name__} looks both ways through a window")
    if asked.get("dropout"):
        raise CannotPack(f"{type(module).__name__} wants dropout inside attention")
    scaling = asked.get("scaling")
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
    layer = getattr(module, "layer_idx", 0)
    return attend(q, k, v, packing, scale, asked.get("sliding_window"), layer)[None], None


AttentionInterface.register(NAME, packed_attention)


def packed_hidden(network: Any, read: Tensor, positions: Tensor, packing: Packing) -> Tensor:
    """(T,) tokens or (T, D) embeddings, (T,) -> the hidden states before the head, (T, D). Raises CannotPack."""
    given = {"input_ids" if read.ndim == 1 else "inputs_embeds": read[None]}
    with packed_rows(network):
        result = network.base_model(**given, position_ids=positions[None], use_cache=False, packing=packing)
    return result.last_hidden_state[0]


@contextmanager
def packed_rows(network: Any) -> Iterator[None]:
    """Inside the block the attention of `network` is `packed_attention`."""
    configs = {id(m.config): m.config for m in network.modules() if hasattr(m, "config")}.values()
    before = [(config, config._attn_implementation) for config in configs if hasattr(config, "_attn_implementation")]
    for config, _ in before:
        config._attn_implementation = NAME
    try:
        yield
    finally:
        for config, old in before:
            config._attn_implementation = old
