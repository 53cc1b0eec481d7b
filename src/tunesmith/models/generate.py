"""Writing answers: rows side by side, a token at a time, each in a slot that the next prompt takes when it has ended.

An answer is a function of its prompt, its number and the sampling: neither its neighbours nor its slot nor their number
change it. (In float32 and, where products round each row alike, in bfloat16; see docs/decisions/0009-the-generator.md.)
"""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from typing import Any, Protocol

import torch
from torch import Tensor

from tunesmith.core.errors import UserError
from tunesmith.core.virtual import virtual_of
from tunesmith.models.answer import Answer, Rules, Written, known
from tunesmith.models.packed_decode import PackedRows, walks
from tunesmith.models.padded_decode import PaddedRows, mixes_rows
from tunesmith.models.sampling import Sampling, draw
from tunesmith.models.stops import Decode
from tunesmith.models.thin import thin

__all__ = ["AT_ONCE", "Rules", "Sampling", "Writing", "Written", "generate", "step_by_step"]

AT_ONCE = 16  # rows side by side


OnAnswer = Callable[[int, Written], None]


def generate(  # noqa: PLR0913 - what answers depend on, and how they are written
    network: Any,
    prompts: Sequence[Sequence[int]],
    stop: set[int],
    sampling: Sampling,
    *,
    decode: Decode | None = None,
    seeds: Sequence[int] | None = None,
    at_once: int = AT_ONCE,
    on_answer: OnAnswer | None = None,
    tokenizer: Any = None,
) -> list[Written]:
    """-> the answer to each prompt.

    `seeds`: a number for each prompt, which its draws depend on beside `sampling.seed`; 0, 1, ... by default.
    `on_answer(place, written)` hears each when it has ended. Stop strings need `decode`, a schema needs `tokenizer`,
    which also decodes. Raises UserError for a prompt that leaves no room for an answer.
    """
    found: list[Written | None] = [None] * len(prompts)
    rules = Rules.of(network, stop, sampling, decode, tokenizer)
    with Writing(network, prompts, rules, seeds=seeds, at_once=at_once) as writing:
        while writing.goes_on:
            writing.step()
            for place, written in writing.ended():
                found[place] = written
                if on_answer is not None:
                    on_answer(place, written)
    return [written for written in found if written is not None]


def step_by_step(
    network: Any, prompts: Sequence[Sequence[int]], stop: set[int], sampling: Sampling, *, tokenizer: Any = None
) -> Generator[list[int | None]]:
    """Yield the next token of each prompt, or None where the answer has ended; a stop token is not shown.

    All are written side by side. A stop string's tokens are shown: `stops.pieces` hides them in the text.
    """
    rules = Rules.of(network, stop, sampling, None, tokenizer)
    with Writing(network, prompts, rules, at_once=len(prompts)) as writing:
        while writing.goes_on:
            newest = writing.step()
            yield [newest.get(place) for place in range(len(prompts))]


class Rows(Protocol):
    """The network's side: rows that have read their prompts and tokens."""

    refills: bool  # a row that has ended can be replaced while others go on

    def fill(self, rows: Sequence[int], prompts: Sequence[Sequence[int]]) -> Tensor: ...  # (n, V)
    def step(self, tokens: Sequence[int]) -> Tensor: ...  # (B, V)
    def move(self, source: int, target: int) -> None: ...


class Writing:
    """Answers in the making; a context manager. Each `step` adds a token to every row."""

    def __init__(
        self,
        network: Any,
        prompts: Sequence[Sequence[int]],
        rules: Rules,
        *,
        seeds: Sequence[int] | None = None,
        at_once: int = AT_ONCE,
    ) -> None:
        assert seeds is None or len(seeds) == len(prompts)
        self.network, self.prompts, self.rules = network, prompts, rules
        self.rooms = _rooms(network, prompts, rules.sampling.tokens)
        self.numbers = range(len(prompts)) if seeds is None else seeds
        self.mixed = mixes_rows(network)
        self.at_once = len(prompts) if self.mixed else max(1, min(at_once, len(prompts)))
        self._waiting = deque(range(len(prompts)))
        self._rows: list[Answer] = []  # row by row; some may have ended
        self._ended: list[tuple[int, Written]] = []
        self._stack = ExitStack()

    def __enter__(self) -> "Writing":
        if self.prompts:
            switch = self._stack.enter_context(thin(self.network, self.at_once))
            kind = PackedRows if walks(self.network) and not self.mixed else PaddedRows
            with torch.no_grad():
                self._state: Rows = kind(self.network, self.at_once, self.prompts, switch)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def goes_on(self) -> bool:
        return bool(self._waiting or self._open)

    @property
    def _open(self) -> list[int]:
        return [row for row, answer in enumerate(self._rows) if answer.written is None]

    def ended(self) -> list[tuple[int, Written]]:
        """-> the answers that have ended since this was last asked, with the places of their prompts."""
        ended, self._ended = self._ended, []
        return ended

    @torch.no_grad()
    def step(self) -> dict[int, int]:
        """-> the newest token of each answer that got one, by the place of its prompt; stop tokens aside."""
        newest: dict[int, int] = {}
        if rows := self._open:
            logits = self._state.step([answer.tokens[-1] for answer in self._rows])
            newest |= self._draw(logits if len(rows) == len(logits) else logits[rows], rows)
        while self._waiting and (rows := self._free()):
            newest |= self._begin(rows)
        if self._state.refills:
            self._close()
        return newest

    def _free(self) -> list[int]:
        """-> the rows that the next prompts can have."""
        if not self._state.refills and self._open:
            return []
        if not self._state.refills:
            self._rows = []
        ended = [row for row, answer in enumerate(self._rows) if answer.written is not None]
        return [*ended, *range(len(self._rows), self.at_once)][: len(self._waiting)]

    def _begin(self, rows: Sequence[int]) -> dict[int, int]:
        places = [self._waiting.popleft() for _ in rows]
        logits = self._state.fill(rows, [self.prompts[place] for place in places])
        for row, place in zip(rows, places, strict=True):
            self._rows[row : row + 1] = [self._answer(place)]
        return self._draw(logits, rows)

    def _answer(self, place: int) -> Answer:
        grammar = self.rules.grammar
        fitting = None if grammar is None else grammar.begin()
        return Answer(place, self.numbers[place], self.rooms[place], fitting, set(self.prompts[place]))

    def _draw(self, logits: Tensor, rows: Sequence[int]) -> dict[int, int]:
        drawing = [self._rows[row] for row in rows]
        sampling = self.rules.sampling
        changed = known(drawing, logits.shape[-1], sampling)
        newest = {}
        drawn = draw(logits, sampling, [answer.row for answer in drawing], changed)
        for answer, token, logprob in zip(drawing, *drawn, strict=True):
            if answer.add(token, logprob, self.rules):
                newest[answer.place] = token
            if answer.written is not None:
                self._ended.append((answer.place, answer.written))
        return newest

    def _close(self) -> None:
        """The last rows go on in the places of those that have ended: rows stand without gaps."""
        for row in reversed(range(len(self._rows))):
            if self._rows[row].written is not None:
                last = len(self._rows) - 1
                if row != last:
                    self._state.move(last, row)
                    self._rows[row] = self._rows[last]
                self._rows.pop()


def _rooms(network: Any, prompts: Sequence[Sequence[int]], most: int) -> list[int]:
    """-> how many tokens each answer may have."""
    context = getattr(network.config.get_text_config(), "max_position_embeddings", None)
    virtual = virtual_of(network)
    rooms = []
    for number, prompt in enumerate(prompts, 1):
        if not prompt:
            raise UserError(f"prompt {number}: empty; an answer needs something to follow")
        left = most if not context else context - len(prompt) - (virtual.count if virtual is not None else 0)
        if left < 1:
            raise UserError(
                f"prompt {number}: {len(prompt)} tokens, and the model reads {context} with the answer; shorten it"
            )
        rooms.append(min(most, left))
    return rooms
