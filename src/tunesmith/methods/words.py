"""New rows behind the table of an encoder, the only ones of it that learn (textual inversion).

e(i) = W[i] of the base for each token that it knew, v[i] for a new one        https://arxiv.org/abs/2208.01618

Switched off, a new token is the one that it began as: that is what the base has for it.

Shapes: B texts, S tokens, D width, N new rows.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tunesmith.core.errors import UserError
from tunesmith.methods.inject import wrapped
from tunesmith.methods.layer import Layer


class LearnedRows(Layer):
    """A table and the new rows behind it."""

    base: nn.Embedding

    def __init__(self, base: nn.Embedding, ids: Sequence[int], begins: Sequence[int]) -> None:
        """`ids`: numbers of the new rows, one behind the other; `begins`: rows of `base` whose values they take."""
        super().__init__(base)
        self.first, self.count = ids[0], len(ids)
        device = base.weight.device
        self.register_buffer("begins", torch.tensor(begins, device=device), persistent=False)
        with torch.no_grad():
            start = base.weight[list(begins)].detach().float().clone()
        self.rows = nn.Embedding.from_pretrained(start, freeze=False)  # behind `base`: its type is the encoder's type

    def forward(self, ids: Tensor) -> Tensor:
        """(B, S) -> (B, S, D)"""
        place = ids - self.first
        new = (place >= 0) & (place < self.count)
        place = place.where(new, 0)
        begins: Any = self.begins
        known = self.base(begins[place].where(new, ids))
        if not self.active or self.strength == 0:
            return known
        learned = self.rows(place).to(known.dtype)
        if self.strength != 1:
            learned = known + self.strength * (learned - known)
        return learned.where(new[..., None], known)

    @torch.no_grad()
    def start(self) -> Tensor:
        """-> (N, D), float32: what the rows began as."""
        begins: Any = self.begins
        return self.base(begins).float()

    @torch.no_grad()
    def merged(self) -> nn.Embedding:
        """The table with the new rows in it."""
        old: Tensor = self.base.weight
        whole = torch.zeros(max(len(old), self.first + self.count), old.shape[1], dtype=old.dtype, device=old.device)
        whole[: len(old)] = old
        whole[self.first : self.first + self.count] = self.rows.weight.to(old.dtype)
        return nn.Embedding.from_pretrained(whole)


def attach_rows(encoder: nn.Module, ids: Sequence[int], begins: Sequence[int]) -> None:
    """Put new rows behind the table of words of `encoder`. UserError where a method sits there."""
    root: Any = encoder
    table = root.get_input_embeddings()
    if not isinstance(table, nn.Embedding):
        raise UserError("objective.token: method.targets names the table of words too; name other layers there")
    name = next(name for name, module in encoder.named_modules() if module is table)
    encoder.set_submodule(name, LearnedRows(table, ids, begins))


def rows_of(encoder: nn.Module) -> LearnedRows:
    (found,) = (layer for _, layer in wrapped(encoder, LearnedRows))
    return found


def grow(encoder: nn.Module) -> None:
    """Make `encoder` a plain one, with the new rows in its table."""
    for name, layer in wrapped(encoder, LearnedRows):
        table = layer.merged()
        encoder.set_submodule(name, table)
        root: Any = encoder
        root.config.vocab_size = len(table.weight)
