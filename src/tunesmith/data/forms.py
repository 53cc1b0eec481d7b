"""The typed forms between a row and its tokens: a conversation, labelled text, or plain text."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tunesmith.core.errors import UserError, near
from tunesmith.data.rows import Row

PLACE = re.compile(r"\{(\w+)\}")
DEFAULT_TEMPLATE = "Which label fits this text? Labels: {labels}.\n\nText: {text}\n\nLabel:"


@dataclass(frozen=True)
class Message:
    """One turn. `weight` 0 keeps an assistant's turn out of training."""

    role: str
    content: str
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    weight: int = 1
    more: Mapping[str, Any] = field(default_factory=dict)  # name, tool_call_id, reasoning_content

    def for_template(self) -> dict[str, Any]:
        values: dict[str, Any] = {"role": self.role, "content": self.content, **self.more}
        if self.tool_calls:
            values["tool_calls"] = [dict(call) for call in self.tool_calls]
        return values


@dataclass(frozen=True)
class Conversation:
    """Turns that end with the assistant's. `plain` is the prompt for a tokenizer without a chat template."""

    row: Row
    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    plain: str | None = None

    def with_system(self, system: str | None) -> "Conversation":
        if system is None or self.messages[0].role in ("system", "developer"):
            return self
        plain = None if self.plain is None else f"{system}\n\n{self.plain}"
        return replace(self, messages=(Message("system", system), *self.messages), plain=plain)


@dataclass(frozen=True)
class Labelled:
    """A text with a label: a conversation of one question, whose text can be cut when it is too long."""

    row: Row
    text: str
    label: str
    labels: tuple[str, ...]
    template: str

    def conversation(self, text: str | None = None, label: str | None = None) -> Conversation:
        """-> the question about `text` answered by `label`; without them, the row's own."""
        known = {
            **{name: _shown(value) for name, value in self.row.values.items()},
            "text": self.text if text is None else text,
            "labels": ", ".join(self.labels),
        }
        prompt = PLACE.sub(lambda place: self._filled(place[1], known), self.template)
        turns = (Message("user", prompt), Message("assistant", self.label if label is None else label))
        return Conversation(self.row, turns, plain=prompt + "\n")

    def asked(self, text: str | None = None) -> str:
        """-> the template filled with `text`; without it, with the row's own."""
        return self.conversation(text).messages[0].content

    def _filled(self, name: str, known: Mapping[str, str]) -> str:
        if name not in known:
            raise UserError(f"data.template: {self.row.place} has no column `{name}`{near(name, known)}")
        return known[name]


@dataclass(frozen=True)
class Told:
    """A text and the number that a head must give for it."""

    row: Row
    asking: Labelled  # the text, in the template
    target: float  # of a class its place among the labels
    label: str | None  # the name of the class


@dataclass(frozen=True)
class Text:
    """Plain text, every token of which is trained."""

    row: Row
    text: str


@dataclass(frozen=True)
class Judged:
    """Answers to one prompt, each as a conversation whose last turns alone are trained, and what is known of them."""

    row: Row
    answers: tuple[Conversation, ...]
    better: tuple[tuple[int, int], ...] = ()  # places of answers, the better one first
    margins: tuple[float, ...] = ()  # of each pair; empty when no row has scores
    wanted: tuple[bool, ...] = ()  # of each answer, where rows rate single answers

    @property
    def best(self) -> Conversation:
        """The answer that no pair says is worse than another."""
        worse = {b for _, b in self.better}
        return next(a for i, a in enumerate(self.answers) if i not in worse)


@dataclass(frozen=True)
class Prompt:
    """A conversation that waits for an answer. The row is kept: a reward may look at its columns."""

    row: Row
    conversation: Conversation  # its last turn is not the assistant's


Form = Conversation | Labelled | Text | Judged | Prompt | Told


def _shown(value: object) -> str:
    return "" if value is None else str(value)
