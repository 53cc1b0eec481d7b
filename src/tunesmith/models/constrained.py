"""Answers that fit a JSON schema: after each token, which ones may come next (llguidance, https://github.com/guidance-ai/llguidance).

JSON is written with a space behind `:` and `,` and no other, so that a small model cannot go on with spaces forever.
"""

from collections.abc import Collection
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tunesmith.core.errors import UserError

LAYOUT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


def compiled(schema: Any) -> str:
    """-> the grammar of a schema. Raises UserError for what is none, and for what this library cannot hold to."""
    if not isinstance(schema, dict):
        raise UserError('a schema is a JSON object, as in {"type": "object", ...}')
    matcher = _llguidance().LLMatcher
    grammar = str(matcher.grammar_from_json_schema(schema, overrides=LAYOUT))
    wrong, messages = matcher.validate_grammar_with_warnings(grammar)
    if wrong:
        raise UserError(f"the schema cannot be followed: {'; '.join(messages)}")
    return grammar


class Grammar:
    """A schema, made ready for a tokenizer once for all answers."""

    def __init__(self, schema: dict[str, Any], tokenizer: Any, size: int, stop: Collection[int]) -> None:
        """`size`: of the vocabulary, as the network counts it. Raises UserError when there can be no such answer."""
        self._grammar = compiled(schema)
        library, ends = _llguidance(), sorted(stop) or None
        try:
            self._tokens = import_module("llguidance.hf").from_tokenizer(tokenizer, n_vocab=size, eos_token=ends)
        except ValueError as error:
            raise UserError(f"schema: cannot be used with this tokenizer ({error})") from error
        self._matcher = library.LLMatcher
        self._size = size

    def begin(self) -> "Fitting":
        """-> the state of an answer that has no token yet."""
        return Fitting(self._matcher(self._tokens, self._grammar, log_level=0), self._size)


class Fitting:
    """What may come next in one answer."""

    def __init__(self, matcher: Any, size: int) -> None:
        self._matcher, self._size = matcher, size

    def allowed(self) -> Tensor:
        """-> (V,), true for tokens that may come next."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        self._refuse_stuck()
        return torch.from_numpy(np.unpackbits(bits, bitorder="little")[: self._size].astype(bool))

    def read(self, token: int) -> bool:
        """-> whether the answer is complete: nothing can follow."""
        self._matcher.consume_token(token)
        self._refuse_stuck()
        return bool(self._matcher.is_stopped())

    def _refuse_stuck(self) -> None:
        if self._matcher.is_error():
            raise UserError(f"schema: {self._matcher.get_error()}")


def _llguidance() -> Any:
    try:
        return import_module("llguidance")
    except ImportError as error:
        raise UserError("schema: needs the package llguidance; `pip install llguidance`") from error
