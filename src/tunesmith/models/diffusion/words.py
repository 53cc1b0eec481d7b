"""New words for the encoders of prompts: what their tokenizers are taught, and how a text with such a word is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.core.errors import UserError
from tunesmith.core.word import Word
from tunesmith.models.diffusion.family import Family


@dataclass(frozen=True, slots=True)
class Taught:
    """Where the word is in the table of one encoder."""

    ids: tuple[int, ...]  # one behind the other
    begins: tuple[int, ...]  # of each, the row whose values it begins with


def refuse_words(family: Family) -> None:
    """UserError where a family learns no new words."""
    if family.flow:
        raise UserError(f"objective.token: new words are for SD 1, SD 2 and SDXL, not for {family.name}; remove it")


def teach(parts: Mapping[str, Any], family: Family, word: Word) -> dict[str, Taught]:
    """-> by the name of the encoder. UserError, and no tokenizer is changed, for a word that cannot be taught."""
    refuse_words(family)
    tokenizers = {
        encoder: parts[tokenizer] for encoder, tokenizer in zip(family.encoders, family.tokenizers, strict=True)
    }
    begins = {encoder: _begins(tokenizer, word) for encoder, tokenizer in tokenizers.items()}
    found = {}
    for encoder, tokenizer in tokenizers.items():
        first = len(tokenizer)
        tokenizer.add_tokens(list(word.tokens))
        ids = tuple(tokenizer.convert_tokens_to_ids(list(word.tokens)))
        assert ids == tuple(range(first, first + word.vectors)), "new tokens come behind all others"
        found[encoder] = Taught(ids, begins[encoder])
    return found


def _begins(tokenizer: Any, word: Word) -> tuple[int, ...]:
    """-> a row for each vector."""
    vocabulary = tokenizer.get_vocab()
    if any(token in vocabulary for token in word.tokens) or len(_plain(tokenizer, word.token)) == 1:
        raise UserError(
            f"objective.token: the tokenizer knows `{word.token}` already, and it would mean two things; "
            f"choose another, such as <my-{word.token.strip('<>|')}>"
        )
    ids = _plain(tokenizer, word.init)
    if len(ids) == 1:
        return tuple(ids * word.vectors)
    if len(ids) != word.vectors or not ids:
        pieces = ", ".join(tokenizer.convert_ids_to_tokens(ids)) or "none"
        raise UserError(
            f"objective.init: `{word.init}` is {len(ids)} tokens for this base ({pieces}); "
            f"name a word of one token, or of as many as objective.vectors ({word.vectors})"
        )
    return tuple(ids)


def _plain(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False).input_ids)


def spelled(tokenizer: Any, text: str) -> str:
    """-> the text with a word of several vectors written out: `<zwx>` is read as `<zwx> <zwx>_1`."""
    added = tokenizer.added_tokens_encoder
    for token in added:
        more = 1
        while f"{token}_{more}" in added:
            more += 1
        if more > 1:
            text = text.replace(token, " ".join(Word(token, "", more).tokens))
    return text
