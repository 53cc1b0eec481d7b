"""A language model's face for training: packed tokens in, the log-probability of each labelled token out.

There are three ways through a network, each exact to the next: the fast walk for Llama-shaped families, the network's
own code over packed rows, and padded rows for whatever cannot be packed. `choose_way` measures which one is right.

Shapes: T tokens of a packed row, L labelled ones, D width, B padded examples.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from tunesmith.core.batch import IGNORED, Example, TokenBatch, pack
from tunesmith.core.errors import UserError
from tunesmith.core.virtual import virtual_of
from tunesmith.models.attention import Packing
from tunesmith.models.head import choice_logprobs, distributions, label_logprobs, label_scores
from tunesmith.models.packed import CannotPack, packed_hidden, packed_rows
from tunesmith.models.padded import padded_distribution, padded_logprobs, padded_scores
from tunesmith.models.walk import serves, walk

Way = Literal["walk", "packed", "padded"]
STEP, FINE = 64, 32  # tokens: what lengths of rows are multiples of, and up to `SHORT` tokens
SHORT = 512


class Packed(nn.Module):
    """A transformers network that reads packed rows. `network` is the tree that methods change."""

    def __init__(self, network: Any, way: Way, *, recompute: bool = False) -> None:
        """`recompute`: keep only what enters each layer for the backward pass. Raises UserError where that is wrong."""
        super().__init__()
        self.network = network
        self.way: Way = way
        self.recompute = recompute
        self.learning = False  # whether layers of the method draw dropout: what `train` was last told
        if recompute and self.way != "walk":
            recompute_layers(network, packed=self.way == "packed")

    def hidden(self, batch: TokenBatch, wanted: Tensor) -> Tensor:
        """-> (L, D), what the output head would read at the places `wanted` (L,) of the packed row."""
        virtual = virtual_of(self.network)
        prompt, prefix = (virtual.embeddings(), virtual.keys_values()) if virtual else (None, None)
        if virtual is not None:
            batch = behind(batch, virtual.count, own_places=prompt is not None)
            wanted = wanted if prompt is None else wanted + virtual.count
        batch = rounded(batch) if self.rounds else batch
        packing = Packing.of(batch.lengths, batch.branches, batch.shared, prefix)
        if self.way == "walk":
            return walk(self.network, self._embedded(batch, prompt), batch.positions, packing, wanted, self.recompute)
        read = batch.tokens if prompt is None else self._embedded(batch, prompt)
        return packed_hidden(self.network, read, batch.positions, packing).index_select(0, wanted)

    def _embedded(self, batch: TokenBatch, prompt: Tensor | None) -> Tensor:
        """-> (T, D); `prompt` (N, D) stands in the place of the first tokens."""
        embed = self.network.get_input_embeddings()
        if prompt is None:
            return embed(batch.tokens)
        text = embed(batch.tokens[len(prompt) :])
        return torch.cat([prompt.to(text.dtype), text])

    def _refuse_growing_cache(self) -> None:
        """Keys and values before padded rows are a cache, and a layer that is computed again would fill it twice."""
        virtual = virtual_of(self.network)
        if self.recompute and virtual is not None and virtual.keys_values() is not None:
            raise UserError("train.recompute: not with prefix tuning of a family that cannot be packed; remove it")

    @property
    def rounds(self) -> bool:
        """Whether rows are rounded up: where products in half precision need a kernel for each length."""
        weight = self.network.get_input_embeddings().weight
        return weight.device.type == "cpu" and weight.dtype == torch.bfloat16

    def train(self, mode: bool = True) -> Self:
        """Only the layers of a method train: the base runs as it was shipped for use, without dropout."""
        super().train(False)
        self.learning = mode
        for module in self.network.modules():
            if hasattr(module, "active") or (self.recompute and isinstance(module, GradientCheckpointingLayer)):
                module.training = mode  # itself alone: what it wraps is the base
        return self


class CausalLM(Packed):
    """The face of a network that writes text: `core.protocols.LanguageModel`."""

    def __init__(self, network: Any, way: Way | None = None, *, recompute: bool = False) -> None:
        super().__init__(network, way or choose_way(network), recompute=recompute)
        self.shape = logit_shape(network.config)

    def forward(self, batch: TokenBatch) -> Tensor:
        """-> (L,), the log-probability of every label that is not IGNORED, in their order, float32."""
        if self.way == "padded":
            self._refuse_growing_cache()
            return padded_logprobs(self.network, batch)
        labelled = (batch.labels != IGNORED).nonzero()[:, 0]
        hidden = self.hidden(batch, labelled)
        return label_logprobs(hidden, batch.labels[labelled], self.network.get_output_embeddings(), self.shape)

    def scores(self, batch: TokenBatch) -> Tensor:
        """-> (L, 2): the log-probability of every label, and 1 where no token is more likely. No gradient."""
        if self.way == "padded":
            return torch.stack(padded_scores(self.network, batch), 1)
        labelled = (batch.labels != IGNORED).nonzero()[:, 0]
        hidden = self.hidden(batch, labelled)
        return label_scores(hidden, batch.labels[labelled], self.network.get_output_embeddings(), self.shape)

    @torch.no_grad()
    def distribution(self, batch: TokenBatch) -> Tensor:
        """-> (L, V): the log-probability of every token at each label. Large: for one short example at a time."""
        if self.way == "padded":
            return padded_distribution(self.network, batch)[0]
        hidden = self.hidden(batch, (batch.labels != IGNORED).nonzero()[:, 0])
        logits = self.network.get_output_embeddings()(hidden)
        return torch.log_softmax((logits if self.shape is None else self.shape(logits)).float(), -1)

    def among(self, batch: TokenBatch, choices: Tensor) -> Tensor:
        """(L, K) tokens for each label -> (L, K), their log-probabilities. Not for padded rows."""
        hidden = self.hidden(batch, (batch.labels != IGNORED).nonzero()[:, 0])
        return choice_logprobs(hidden, choices, self.network.get_output_embeddings(), self.shape)

    def distributions(self, batch: TokenBatch, known: int) -> Iterator[Tensor]:
        """-> (l, V), (l, V), ...: how likely the first `known` tokens are at each label, a few labels at a time."""
        with torch.no_grad():
            hidden = self.hidden(batch, (batch.labels != IGNORED).nonzero()[:, 0])
        return distributions(hidden, self.network.get_output_embeddings(), self.shape, known)


def behind(batch: TokenBatch, count: int, *, own_places: bool) -> TokenBatch:
    """`batch` as it is read behind `count` virtual tokens, which all its examples share.

    With `own_places` they stand in the row (embeddings); else in the attention alone, and only positions move.
    """
    if not own_places:
        return replace(batch, positions=batch.positions + count)
    ahead = torch.arange(count, device=batch.tokens.device)
    return replace(
        batch,
        tokens=torch.cat([torch.zeros_like(ahead), batch.tokens]),
        labels=torch.cat([torch.full_like(ahead, IGNORED), batch.labels]),
        positions=torch.cat([ahead, batch.positions + count]),
        branches=None if batch.branches is None else torch.cat([torch.zeros_like(ahead), batch.branches]),
        shared=batch.shared + count,
    )


def rung(tokens: int) -> int:
    """-> the length that a row of so many tokens is filled up to. Of a short row less may be idle."""
    step = FINE if tokens <= SHORT else STEP
    return -(-tokens // step) * step


def rounded(batch: TokenBatch, length: int | None = None) -> TokenBatch:
    """`batch` with a few idle tokens behind it, which belong to no example: nobody sees them or learns from them.

    On a CPU each new number of rows costs oneDNN new kernels, some 0.1 s and 16 MB for a whole model; with lengths of
    `rung` the same few are used again and again. `length`: another one to fill up to.
    """
    spare = (rung(len(batch.tokens)) if length is None else length) - len(batch.tokens)
    if not spare:
        return batch
    idle = torch.arange(spare, device=batch.tokens.device)
    return replace(
        batch,
        tokens=torch.cat([batch.tokens, torch.zeros_like(idle)]),
        labels=torch.cat([batch.labels, torch.full_like(idle, IGNORED)]),
        positions=torch.cat([batch.positions, idle + batch.shared]),
        branches=None if batch.branches is None else torch.cat([batch.branches, torch.zeros_like(idle)]),
    )


def recompute_layers(network: Any, *, packed: bool) -> None:
    """Let the layers of `network` compute their insides again, by transformers' own code, when they are in training.

    Raises UserError for a family that cannot, and for one that would drop activations as soon as it is in training.
    """
    layers = [module for module in network.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers or not network.supports_gradient_checkpointing:
        raise UserError(f"train.recompute: layers of {network.config.model_type} cannot be computed again; remove it")
    if any(isinstance(rate := getattr(layer, "dropout", 0.0), float) and rate > 0 for layer in layers):
        raise UserError(f"train.recompute: {network.config.model_type} drops activations then; remove it")
    how: dict[str, Any] = {"use_reentrant": False}
    if packed:  # the backward pass comes when the network's own attention is back in its place
        how["context_fn"] = lambda: (nullcontext(), packed_rows(network))
    network.gradient_checkpointing_enable(how)


def logit_shape(config: Any) -> Callable[[Tensor], Tensor] | None:
    """What a family does to its logits after the head, by its configuration; `choose_way` finds what this misses."""
    cap = getattr(config, "final_logit_softcapping", None)
    if cap is not None:
        return lambda z: torch.tanh(z / cap) * cap
    factor = getattr(config, "logit_scale", None)
    if factor is None and getattr(config, "logits_scaling", None) is not None:
        factor = 1 / config.logits_scaling
    return None if factor is None or factor == 1 else lambda z: z * factor


def choose_way(network: Any) -> Way:
    """The fastest way that gives the same numbers as the network by itself, tried on three tiny examples."""
    ways: list[Way] = ["walk", "packed"] if serves(network) else ["packed"]
    return next((way for way in ways if _agrees(network, way)), "padded")


def _agrees(network: Any, way: Way) -> bool:
    """Equal to the padded way within rounding, and an example that changes leaves its neighbours as they were."""
    vocabulary = network.get_input_embeddings().num_embeddings
    draw = torch.Generator().manual_seed(0)
    texts = [torch.randint(vocabulary, (n,), generator=draw).tolist() for n in (5, 9, 3)]
    changed = [texts[0], texts[1][::-1], texts[2]]
    device = network.get_input_embeddings().weight.device
    model = CausalLM(network, way).train(False)
    try:
        with torch.no_grad():
            packed, other = (model(_batch(rows).to(device)) for rows in (texts, changed))
            alone = padded_logprobs(network, _batch(texts).to(device))
    except CannotPack:
        return False
    rounding = 1e-3 if network.dtype == torch.float32 else 0.05 * float(alone.abs().max())
    neighbours = torch.cat([packed[:4] - other[:4], packed[12:] - other[12:]])
    return bool(neighbours.abs().max() < rounding) and bool((packed - alone).abs().max() < rounding)


def _batch(texts: list[list[int]]) -> TokenBatch:
    return pack([Example(text, [True] * len(text), row) for row, text in enumerate(texts)])
