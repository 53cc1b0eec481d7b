"""One answer in the making: what it has, and what ends it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from tunesmith.models.constrained import Fitting, Grammar
from tunesmith.models.sampling import Known, Row, Sampling
from tunesmith.models.stops import Decode, cut


@dataclass(frozen=True, slots=True)
class Written:
    """An answer."""

    tokens: list[int]  # with the stop token, when that ended it: it was drawn, and a policy gradient trains it
    logprobs: list[float]  # of each token, see `sampling.draw`
    ended: bool  # by a stop token, a stop string or the end of what its schema allows; not by the limit
    bare: bool = False  # it ended without a stop token
    text: str | None = None  # with `decode`: what is shown, cut at a stop string

    @property
    def answer(self) -> list[int]:
        """The tokens without the stop token."""
        return self.tokens[:-1] if self.ended and not self.bare else self.tokens


@dataclass(frozen=True, slots=True)
class Rules:
    """How every answer of a batch is drawn, and where it ends."""

    stop: set[int]
    sampling: Sampling
    decode: Decode | None = None
    grammar: Grammar | None = None

    @classmethod
    def of(cls, network: Any, stop: set[int], sampling: Sampling, decode: Decode | None, tokenizer: Any) -> "Rules":
        """Raises UserError for a schema that no answer can fit."""
        if decode is None and tokenizer is not None:
            decode = spelled(tokenizer)
        grammar = None
        if sampling.schema is not None:
            assert tokenizer is not None, "a schema needs to know how tokens are spelled"
            grammar = Grammar(sampling.schema, tokenizer, network.config.get_text_config().vocab_size, stop)
        assert decode is not None or not sampling.stop, "stop strings need to know how tokens are spelled"
        return cls(stop, sampling, decode, grammar)


def spelled(tokenizer: Any) -> Decode:
    """-> the text of tokens, without special ones."""
    return lambda tokens: str(tokenizer.decode(tokens, skip_special_tokens=True))


@dataclass(slots=True)
class Answer:
    """One that is being written."""

    place: int  # of its prompt
    number: int  # what its draws depend on
    room: int  # the most tokens
    fitting: Fitting | None
    seen: set[int]  # tokens of prompt and answer
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    written: Written | None = None

    @property
    def row(self) -> Row:
        return Row(self.number, len(self.tokens))

    def add(self, token: int, logprob: float, rules: Rules) -> bool:
        """-> whether the token is one of the text: not one that stops."""
        self.tokens.append(token)
        self.logprobs.append(logprob)
        self.seen.add(token)
        stopped = token in rules.stop
        complete = not stopped and self._complete(token, rules)
        if stopped or complete or len(self.tokens) == self.room:
            self._end(stopped or complete, complete, rules)
        return not stopped

    def _complete(self, token: int, rules: Rules) -> bool:
        """Whether a stop string stands in the text, or nothing can follow by the schema."""
        if self.fitting is not None and self.fitting.read(token):
            return True
        if not rules.sampling.stop:
            return False
        assert rules.decode is not None
        return cut(rules.decode(self.tokens), rules.sampling.stop)[1]

    def _end(self, ended: bool, bare: bool, rules: Rules) -> None:
        written = Written(self.tokens, self.logprobs, ended, bare)
        if rules.decode is not None:
            text, _ = cut(rules.decode(written.answer), rules.sampling.stop)
            written = Written(self.tokens, self.logprobs, ended, bare, text)
        self.written = written


def known(answers: Sequence[Answer], size: int, sampling: Sampling) -> Known:
    """-> what changes the logits of these rows, (B, V) each where there is something."""
    seen = allowed = None
    if sampling.repetition_penalty != 1:
        seen = torch.zeros(len(answers), size, dtype=torch.bool)
        for row, answer in zip(seen, answers, strict=True):
            row[torch.tensor(list(answer.seen))] = True
    fitting = [answer.fitting.allowed() for answer in answers if answer.fitting is not None]
    if fitting:
        allowed = torch.stack(fitting)
    return Known(seen, allowed)
