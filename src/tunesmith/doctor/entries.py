"""Rows as the doctor reads them: what is asked and what is answered, whatever the format, empty ones included."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tunesmith.core.errors import UserError
from tunesmith.core.protocols import Eats, Ending
from tunesmith.data.config import COMPARED, Data
from tunesmith.data.formats import forms, label_names, mapped, recognised
from tunesmith.data.forms import Conversation, Form, Judged, Labelled, Prompt, Text, Told
from tunesmith.data.messages import SHAREGPT_ROLES
from tunesmith.data.rows import Row

Blank = Literal["answer", "prompt"]
_ANSWERS = ("completion", "output", "label", "chosen", "rejected")
_PROMPTS = ("prompt", "instruction", "text")
_SPOKEN = ("messages", "conversations")


@dataclass(frozen=True, slots=True)
class Entry:
    """One row. `answer` is the last turn of the assistant, the better answer, or a label; empty for plain text."""

    row: Row
    prompt: str
    answer: str
    label: str | None = None
    roles: tuple[str, ...] = ()
    others: tuple[str, ...] = ()  # answers that lose to `answer`
    blank: Blank | None = None

    @property
    def text(self) -> str:
        """What is written freely: a label is not."""
        if self.label is not None or not self.answer:
            return self.prompt
        return f"{self.prompt}\n{self.answer}" if self.prompt else self.answer


def read_entries(config: Data, rows: Sequence[Row], eats: Eats = "tokens", ending: Ending = "words") -> list[Entry]:
    """-> one entry a row, in order. UserError for rows of an unknown shape, or when every one is empty."""
    kind = _kind(config, rows, eats)
    blank = [_blank(mapped(config, row), kind) for row in rows]
    whole = [row for row, empty in zip(rows, blank, strict=True) if empty is None]
    if not whole:
        raise UserError(f"{rows[0].place}: the {blank[0]} is empty, and so it is in every row")
    needed: Eats = (
        "prompts" if kind == "prompt" else "rated" if kind == "rated" else "pairs" if kind in COMPARED else eats
    )
    labels = label_names(config, whole) if kind == "labelled" and ending != "value" else ()
    typed = iter(forms(config, kind, whole, labels, needed))
    return [
        _entry(next(typed)) if empty is None else Entry(row, "", "", blank=empty)
        for row, empty in zip(rows, blank, strict=True)
    ]


def _kind(config: Data, rows: Sequence[Row], eats: Eats) -> str:
    """-> the format; prompts without answers are looked at too when nothing says what they are for."""
    if eats == "tokens" and config.format == "auto" and set(rows[0].values) >= {"prompt"}:
        fields = mapped(config, rows[0]) if not config.columns else {}
        if fields and not {"completion", "chosen", "rejected", "answers"} & set(fields):
            return recognised(config, rows, "prompts")
    return recognised(config, rows, eats)


def _blank(values: Mapping[str, Any], kind: str) -> Blank | None:
    if kind in ("messages", "sharegpt"):
        return _blank_turn(next((values[name] for name in _SPOKEN if name in values), None))
    for names, where in ((_ANSWERS, "answer"), (_PROMPTS, "prompt")):
        for name in names:
            if name in values and _empty(values[name]):
                return "answer" if where == "answer" or kind == "text" else "prompt"
    return None


def _blank_turn(turns: Any) -> Blank | None:
    for turn in turns if isinstance(turns, list) else ():
        if not isinstance(turn, dict) or turn.get("tool_calls"):
            continue
        said = turn.get("content", turn.get("value", "?"))
        if _empty(said):
            role = str(turn.get("role", turn.get("from")))
            return "answer" if SHAREGPT_ROLES.get(role, role) == "assistant" else "prompt"
    return None


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _entry(form: Form) -> Entry:
    match form:
        case Labelled():
            return Entry(form.row, form.text, form.label, form.label)
        case Told():
            return Entry(form.row, form.asking.asked(), form.label or f"{form.target:g}", form.label or "")
        case Text():
            return Entry(form.row, "", form.text)
        case Prompt():
            return Entry(form.row, _said(form.conversation), "", roles=_roles(form.conversation))
        case Judged():
            best = form.answers[0] if form.wanted else form.best
            others = tuple(_last(answer) for answer in form.answers if answer is not best)
            return Entry(form.row, _asked(best), _last(best), roles=_roles(best), others=others)
        case Conversation():
            return Entry(form.row, _asked(form), _last(form), roles=_roles(form))


def _roles(talk: Conversation) -> tuple[str, ...]:
    return tuple(turn.role for turn in talk.messages)


def _said(talk: Conversation) -> str:
    return "\n".join(turn.content for turn in talk.messages if turn.content)


def _asked(talk: Conversation) -> str:
    return "\n".join(turn.content for turn in talk.messages[:-1] if turn.content)


def _last(talk: Conversation) -> str:
    turn = talk.messages[-1]
    return turn.content or json.dumps([dict(call) for call in turn.tool_calls], ensure_ascii=False)
