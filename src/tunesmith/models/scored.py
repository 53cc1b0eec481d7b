"""A network with a head: packed tokens in, the scores of chosen texts out. No word of the vocabulary is scored.

A decoder answers at the last token of a text, an encoder at its first, through what its family puts between the two
(BERT's pooler). In a tree each branch is a text of its own; for an encoder, which looks both ways, it is written out.

Shapes: T tokens of a packed row, A chosen places, C scores, D width, R rows written out.
"""

from typing import Any

import torch
from torch import Tensor

from tunesmith.core.batch import Example, TokenBatch, pack
from tunesmith.core.headed import Mark, mark_of
from tunesmith.models.attention import Packing
from tunesmith.models.language import Packed, Way
from tunesmith.models.packed import CannotPack, packed_hidden
from tunesmith.models.padded import padded_heads, unfolded
from tunesmith.models.walk import serves

POOLED = ("bert",)
"""Encoders whose head reads what a pooler makes of the first token; the others go the padded way."""


class Scored(Packed):
    """The face of a network that ends in scores."""

    def __init__(self, network: Any, way: Way | None = None, *, recompute: bool = False) -> None:
        super().__init__(network, way or choose_way(network), recompute=recompute)
        self.mark: Mark = _marked(network)

    def forward(self, batch: TokenBatch) -> Tensor:
        """-> (R, C), the scores of every text of a batch, in their order; a tree has one for each branch.

        As in transformers, a decoder is asked at the last token that is no padding token: many bases pad with the one
        that ends a turn.
        """
        padding = self.network.config.get_text_config().pad_token_id
        counts = batch.tokens.ne(-1 if padding is None else padding)  # (T,)
        return self.scores_at(batch, torch.stack([_last(rows, counts[rows]) for rows, _ in unfolded(batch)]))

    def scores_at(self, batch: TokenBatch, places: Tensor) -> Tensor:
        """(A,) places in the packed row -> (A, C), float32.

        For an encoder a place stands for the text that it lies in.
        """
        if self.way == "padded":
            self._refuse_growing_cache()
            return padded_heads(self.network, batch, places, encoder=self.mark.encoder)
        if self.mark.encoder:
            return self._encoded(batch, places)
        return self._head(self.hidden(batch, places))

    def _head(self, hidden: Tensor) -> Tensor:
        return self.network.get_submodule(self.mark.modules[0])(hidden).float()

    def _encoded(self, batch: TokenBatch, places: Tensor) -> Tensor:
        texts = [rows for rows, _ in unfolded(batch)]
        row = torch.cat(texts)  # places in `batch`, of the texts written out
        lengths = [len(text) for text in texts]
        positions = torch.cat([torch.arange(n, device=row.device) for n in lengths])
        starts = positions.eq(0).nonzero()[:, 0]
        hidden = packed_hidden(self.network, batch.tokens[row], positions, Packing.both_ways(lengths))  # (T, D)
        pooled = self.network.base_model.pooler(hidden.index_select(0, starts)[:, None])  # (R, D)
        return self.network.classifier(pooled).float()[text_of(texts, places)]


def _last(places: Tensor, counts: Tensor) -> Tensor:
    """(S,), (S,) -> (), the last of `places` that counts, or the last of all."""
    return places[counts][-1] if bool(counts.any()) else places[-1]


def text_of(texts: list[Tensor], places: Tensor) -> Tensor:
    """(A,) -> (A,), the number of the first text in which each place lies."""
    owner = torch.zeros(int(max(text.max() for text in texts)) + 1, dtype=torch.long, device=places.device)
    for number in reversed(range(len(texts))):
        owner[texts[number]] = number
    return owner[places]


def choose_way(network: Any) -> Way:
    """The fastest way that gives the same scores as the network by itself, tried on three tiny examples."""
    if _marked(network).encoder:
        ways: list[Way] = ["packed"] if network.config.model_type in POOLED else []
    else:
        ways = ["walk", "packed"] if serves(network) else ["packed"]
    return next((way for way in ways if _agrees(network, way)), "padded")


@torch.no_grad()
def _agrees(network: Any, way: Way) -> bool:
    """Equal to the padded way within rounding, and an example that changes leaves its neighbours as they were."""
    embeddings = network.get_input_embeddings()
    draw = torch.Generator().manual_seed(0)
    texts = [torch.randint(embeddings.num_embeddings, (n,), generator=draw).tolist() for n in (5, 9, 3)]
    device = embeddings.weight.device
    model, alone = Scored(network, way).train(False), Scored(network, "padded").train(False)
    try:
        found, other = (
            model(_batch(rows).to(device)) for rows in (texts, [texts[0], texts[1][::-1], texts[2]])
        )  # (3, C) twice
    except CannotPack:
        return False
    expected = alone(_batch(texts).to(device))
    largest = float(expected.abs().max())
    rounding = (1e-4 if network.dtype == torch.float32 else 0.05) * max(largest, 1e-3)
    return bool((found - other)[[0, 2]].abs().max() < rounding) and bool((found - expected).abs().max() < rounding)


def _batch(texts: list[list[int]]) -> TokenBatch:
    return pack([Example(text, [False] * len(text), row) for row, text in enumerate(texts)])


def _marked(network: Any) -> Mark:
    mark = mark_of(network)
    assert mark is not None, "the network was loaded without a head"
    return mark
