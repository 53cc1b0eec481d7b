"""A new word between its parts: tokenizers that know it, rows behind the tables of the encoders, and a file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tunesmith.core.errors import UserError
from tunesmith.core.word import Word
from tunesmith.export.embedding import Embedding, read_embedding, write_embedding
from tunesmith.methods.inject import wrapped
from tunesmith.methods.words import LearnedRows, attach_rows, grow, rows_of
from tunesmith.models.diffusion.load import PictureBase
from tunesmith.models.diffusion.words import Taught, teach

FOLDER = "embedding"


def put_in(parts: Mapping[str, Any], taught: Mapping[str, Taught]) -> None:
    """Give the encoders in `parts` rows for a word that their tokenizers were taught."""
    for encoder, place in taught.items():
        attach_rows(parts[encoder], place.ids, place.begins)


def begin(base: PictureBase, word: Word) -> None:
    """Teach `base` a word that means what it began as."""
    put_in(base.parts, teach(base.parts, base.family, word))


def words_in(network: nn.Module) -> list[str]:
    """-> the names of the parameters that are rows of a new word."""
    rows = {id(layer.rows.weight) for _, layer in wrapped(network, LearnedRows)}
    return [name for name, parameter in network.named_parameters() if id(parameter) in rows]


def save_word(folder: Path, base: PictureBase, word: Word) -> Path:
    """Write what the word means in the encoders of `base` below the run `folder`. -> its folder."""
    rows = {encoder: rows_of(base.parts[encoder]).rows.weight for encoder in base.family.encoders}
    made = Embedding(word, rows, base.generation)
    return write_embedding(folder / FOLDER, made, base_name=base.name, base_fingerprint=base.fingerprint)


def add_saved(base: PictureBase, folder: Path) -> None:
    """Teach `base` the word in `folder`. Raises UserError for one that does not fit."""
    found = read_embedding(folder, family=base.generation)
    if set(found.rows) != set(base.family.encoders):
        raise UserError(f"{folder}: made for {', '.join(found.rows)}, the base has {', '.join(base.family.encoders)}")
    widths = {name: base.parts[name].get_input_embeddings().weight.shape[1] for name in found.rows}
    if wrong := next((name for name, rows in found.rows.items() if rows.shape[1] != widths[name]), None):
        raise UserError(
            f"{folder}: its rows for {wrong} are {found.rows[wrong].shape[1]} numbers wide, "
            f"those of the base {widths[wrong]}; it was made for another base"
        )
    begin(base, found.word)
    _fill(base.parts, found)


def fill_saved(base: PictureBase, folder: Path) -> None:
    """Give the rows of a word that `base` was taught already the values of the run that learned it."""
    _fill(base.parts, read_embedding(folder, family=base.generation))


def _fill(parts: Mapping[str, Any], found: Embedding) -> None:
    with torch.no_grad():
        for name, rows in found.rows.items():
            weight = rows_of(parts[name]).rows.weight
            weight.requires_grad_(False)
            weight.copy_(rows)


def grown(base: PictureBase, encoders: Mapping[str, nn.Module]) -> dict[str, Any]:
    """-> `encoders` with the word in their tables, and the tokenizers that know it: parts of a plain model.

    The encoders are changed.
    """
    for encoder in encoders.values():
        grow(encoder)
    return {**encoders, **{name: base.parts[name] for name in base.family.tokenizers}}
