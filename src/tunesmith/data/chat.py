"""Which characters of a conversation are trained. Spans come from rendering the chat template turn by turn.

For the assistant's turn i, the template writes `before` (turns < i and the generation prompt) and `upto` (turns <= i).
Turn i is trained from the end of `before` to the end of its stop token, when all three hold, character by character:
`upto` starts with `before`, the whole conversation starts with `before`, and with `upto` cut behind the stop token.
Nothing is ever searched for in the user's text, so that a marker inside it changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tunesmith.core.errors import UserError
from tunesmith.data.forms import Conversation, Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Templates that write the day's date would make each day's run another one: they are given this day.
DAY = date(2025, 1, 1)
_FORMATS = ["%d", "%m", "%b", "%B", "%y", "%Y", "%a", "%A", "%H", "%I", "%M", "%S", "%p", "%j"]
_SAME_DAY = (
    "{% macro strftime_now(format) %}{{ format"
    + "".join(f" | replace({code!r}, {DAY.strftime(code)!r})" for code in _FORMATS)
    + " }}{% endmacro %}{{ '' }}"
)
_QUESTION = Message("user", "0")


@dataclass(frozen=True)
class Span:
    """Characters [start, stop) are trained; the stop token begins at `ends` (== `stop` when the turn has none)."""

    start: int
    ends: int
    stop: int


@dataclass(frozen=True)
class Rendered:
    """A conversation as one text."""

    text: str
    spans: tuple[Span, ...]
    prompt: str  # all before the last assistant turn, with the generation prompt
    opening: bool = False  # the first message is the assistant's: with nothing before it, it is context
    last_only: bool = False  # the template rewrites earlier turns, so that only the last one is trained


class _Rewrites(Exception):  # noqa: N818 - leads to the fallback
    """The template writes a turn differently when it stands elsewhere."""


class ChatTemplate:
    """The tokenizer's chat template, and the stop token that it puts behind an assistant's turn."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self._tokenizer = tokenizer
        self.dated = "strftime_now" in str(tokenizer.chat_template)
        self._knows_developer = "developer" in str(tokenizer.chat_template)
        self._places: dict[str, tuple[int, int]] = {}

    def rendered(self, conversation: Conversation, train_all: bool = False) -> Rendered:
        """-> the text and its trained spans. UserError when the template cannot tell where a turn begins or ends."""
        turns, row = conversation.messages, conversation.row
        text = self._written(conversation, len(turns), False)
        last = len(turns) - 1
        if train_all:
            if any(turn.weight == 0 for turn in turns):
                raise UserError(f"{row.place}: a message has weight 0, and data.train_on is all; use one of them")
            before = self._written(conversation, last, True)
            return Rendered(text, (Span(0, len(text), len(text)),), before)
        own = [i for i, turn in enumerate(turns) if turn.role == "assistant" and turn.weight == 1]
        opening, wanted = own[:1] == [0], [i for i in own if i > 0]
        if not wanted:
            why = "nothing stands before the assistant's message" if own else "every assistant's message has weight 0"
            raise UserError(f"{row.place}: no token would be trained: {why}")
        try:
            spans = tuple(self._span(conversation, i, text) for i in wanted)
            return Rendered(text, spans, self._written(conversation, last, True), opening)
        except _Rewrites as reason:
            if wanted == [last] or wanted[-1] != last:
                raise UserError(f"{row.place}: {reason}; what would be trained cannot be told") from None
        try:
            span = self._span(conversation, last, text)
        except _Rewrites as reason:
            raise UserError(f"{row.place}: {reason}; what would be trained cannot be told") from None
        return Rendered(text, (span,), text[: span.start], opening, last_only=True)

    def asked(self, conversation: Conversation) -> str:
        """-> all turns and the generation prompt: what stands before an answer that is still to be written."""
        return self._written(conversation, len(conversation.messages), True)

    def _span(self, conversation: Conversation, i: int, text: str) -> Span:
        before = self._written(conversation, i, True)
        upto = self._written(conversation, i + 1, False)
        tail = self._tool_tail if conversation.messages[i].tool_calls else self._tail
        if not upto.startswith(before):
            raise _Rewrites(f"the chat template does not begin message {i + 1} as its generation prompt does")
        if not upto.endswith(tail) or len(upto) - len(tail) < len(before):
            raise _Rewrites(f"the chat template does not end message {i + 1} as it ends others")
        ends = len(upto) - len(tail)
        begin, end = self._stop_place(tail)
        if not text.startswith(upto[: ends + end]):
            raise _Rewrites(f"the chat template rewrites message {i + 1} when others follow it")
        return Span(len(before), ends + begin, ends + end)

    def _stop_place(self, tail: str) -> tuple[int, int]:
        """-> where in `tail` the stop token stands: the first special token. Empty, at its end, when there is none."""
        if tail not in self._places:
            self._places[tail] = self._found_stop(tail)
        return self._places[tail]

    def _found_stop(self, tail: str) -> tuple[int, int]:
        special = set(self._tokenizer.all_special_ids)
        encoding = self._tokenizer(tail, add_special_tokens=False, return_offsets_mapping=True)
        for token, (start, stop) in zip(encoding["input_ids"], encoding["offset_mapping"], strict=True):
            if token in special or getattr(self._tokenizer.added_tokens_decoder.get(token), "special", False):
                written = tail[start:stop]  # such a token may swallow the spaces around it
                return start + len(written) - len(written.lstrip()), start + len(written.rstrip())
        return len(tail), len(tail)  # then its other closing signs, if any, are what ends a turn

    @cached_property
    def stop_token(self) -> int | None:
        """The token that ends an assistant's turn, if the template writes one."""
        begin, end = self._stop_place(self._tail)
        return self._tokenizer(self._tail[begin:end], add_special_tokens=False)["input_ids"][0] if begin < end else None

    @cached_property
    def _tail(self) -> str:
        """What follows the content of an assistant's turn, found from two turns that differ in their last character."""
        return _common_end([self._probe(Message("assistant", text)) for text in ("a0", "b1")])

    @cached_property
    def _tool_tail(self) -> str:
        calls = [{"type": "function", "function": {"name": name, "arguments": {name: name}}} for name in ("a0", "b1")]
        tail = _common_end([self._probe(Message("assistant", "", (call,))) for call in calls])
        begin, end = self._stop_place(self._tail)
        stop = self._tail[begin:end]
        # The call's own closing marks come first; the turn's stop token is the same as behind a text.
        return tail[tail.rindex(stop) :] if stop and stop in tail else tail

    def _probe(self, answer: Message) -> str:
        return self._apply([_QUESTION.for_template(), answer.for_template()], None, False)

    def _written(self, conversation: Conversation, count: int, prompt: bool) -> str:
        """-> the first `count` turns as the template writes them."""
        turns = [turn.for_template() for turn in conversation.messages[:count]]
        if not self._knows_developer:
            turns = [{**turn, "role": "system"} if turn["role"] == "developer" else turn for turn in turns]
        try:
            return self._apply(turns, [dict(tool) for tool in conversation.tools] or None, prompt)
        except UserError as error:
            raise UserError(f"{conversation.row.place}: {error}") from None

    def _apply(self, turns: list[dict[str, Any]], tools: list[dict[str, Any]] | None, prompt: bool) -> str:
        try:
            template = self._tokenizer.get_chat_template(None, tools)
            template = _SAME_DAY + template if self.dated else template
            text = self._tokenizer.apply_chat_template(
                turns, tools=tools, chat_template=template, tokenize=False, add_generation_prompt=prompt
            )
        except Exception as error:  # a template is a program of others: it may raise anything
            lines = str(error).splitlines() or [type(error).__name__]
            raise UserError(f"the chat template cannot write this conversation ({lines[0][:200]})") from None
        assert isinstance(text, str)
        return text


def _common_end(texts: Sequence[str]) -> str:
    same = 0
    for signs in zip(*(reversed(text) for text in texts), strict=False):
        if len(set(signs)) > 1:
            break
        same += 1
    return texts[0][len(texts[0]) - same :]
