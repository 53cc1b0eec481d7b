"""The fast way through a Llama-shaped network: the same modules by name, with the formulas of `blocks`.

The tree stays transformers' own, so methods attach to it and files keep their names; only the path through it differs.
A module that is not what the family's code put there (a method wrapped it) is called as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tunesmith.core.layers import Beside
from tunesmith.models.attention import Packing, attend
from tunesmith.models.blocks import gated, plain_gated, rms_norm, rotate
from tunesmith.models.recompute import recomputed

FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
"""Model types whose blocks are: norm, attention with rotary positions, norm, silu-gated feed-forward."""


@dataclass(frozen=True, slots=True)
class Way:
    """What every layer needs to know about the row that passes."""

    cos: Tensor  # (T, D)
    sin: Tensor  # (T, D)
    mix: "Mix"


Mix = Callable[[Any, Tensor, Tensor, Tensor], Tensor]
"""A layer's attention module and its q (T, H, D), k and v (T, K, D), rotated -> (T, H, D)."""


def serves(network: nn.Module) -> bool:
    """Whether this file knows the way through `network`."""
    config = getattr(network, "config", None)
    return (
        getattr(config, "model_type", None) in FAMILIES
        and getattr(config, "hidden_act", None) == "silu"
        and not getattr(config, "attention_dropout", 0.0)
    )


def walk(
    network: Any, x: Tensor, positions: Tensor, packing: Packing, wanted: Tensor, recompute: bool = False
) -> Tensor:
    """(T, D) embeddings, (T,), (L,) -> the hidden states before the output head at the places `wanted`, (L, D).

    `recompute`: keep only what enters each layer, and compute the rest again in the backward pass.
    """
    return through(network, x, way_of(network, x, positions, mixing(packing)), wanted, recompute)


def way_of(network: Any, x: Tensor, positions: Tensor, mix: Mix) -> Way:
    cos, sin = network.model.rotary_emb(x[None], positions[None])
    return Way(cos[0], sin[0], mix)


def mixing(packing: Packing) -> Mix:
    """-> the attention of packed rows."""

    def mix(attention: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attend(q, k, v, packing, attention.scaling, window_of(attention), attention.layer_idx)

    return mix


def through(network: Any, x: Tensor, way: Way, wanted: Tensor | None, recompute: bool = False) -> Tensor:
    """`walk`, with whatever attention `way` has. `wanted` None: all places."""
    body = network.model
    for layer in body.layers:
        kept = wanted if layer is body.layers[-1] else None
        if recompute and torch.is_grad_enabled():
            x = checkpoint(_through, layer, x, way, kept, use_reentrant=False)
        else:
            x = _through(layer, x, way, kept)
    return _norm(body.norm, x)


def _through(layer: Any, x: Tensor, way: Way, kept: Tensor | None) -> Tensor:
    """One layer, (T, D) -> (T, D). `kept` (L,): of the last one, for no token looks at another after its attention."""
    mixed = _mixed(layer.self_attn, _norm(layer.input_layernorm, x), way)
    if kept is not None:
        x, mixed = x.index_select(0, kept), mixed.index_select(0, kept)
    x = x + layer.self_attn.o_proj(mixed)
    return x + _feed_forward(layer.mlp, _norm(layer.post_attention_layernorm, x))


def _norm(norm: Any, x: Tensor) -> Tensor:
    return rms_norm(x, norm.weight, norm.variance_epsilon)


def _mixed(attention: Any, x: Tensor, way: Way) -> Tensor:
    """-> what the attention's output map reads."""
    heads = (len(x), -1, attention.head_dim)
    q, k, v = (project(x).view(heads) for project in (attention.q_proj, attention.k_proj, attention.v_proj))
    if hasattr(attention, "q_norm"):
        q, k = _norm(attention.q_norm, q), _norm(attention.k_norm, k)
    q, k = rotate(q, way.cos, way.sin), rotate(k, way.cos, way.sin)
    return way.mix(attention, q, k, v).view(len(x), -1)


def window_of(attention: Any) -> int | None:
    if hasattr(attention, "sliding_window"):  # layer by layer, as the Qwen families have it
        return attention.sliding_window
    return getattr(attention.config, "sliding_window", None)


def _feed_forward(mlp: Any, x: Tensor) -> Tensor:
    if not hasattr(mlp, "gate_proj"):
        if not isinstance(mlp, Beside):
            return mlp(x)
        added, y = mlp.added(x), _feed_forward(mlp.base, x)
        return y if added is None else y + added
    gate, up = mlp.gate_proj(x), mlp.up_proj(x)
    inner = gated(gate, up)  # (T, F), the widest of all; its factors are kept anyway
    with recomputed(inner, partial(plain_gated, gate.detach(), up.detach())):
        return mlp.down_proj(inner)
