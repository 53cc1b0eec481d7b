"""Rows that compare answers or rate them: pairs, rankings and single ratings, made into judged conversations."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from tunesmith.core.errors import UserError
from tunesmith.data import messages
from tunesmith.data.forms import Conversation, Judged, Message, Prompt
from tunesmith.data.rows import Row

Values = dict[str, Any]
_YES, _NO = (True, 1, "true", "True"), (False, 0, "false", "False")


def preference(row: Row, values: Values) -> Judged:
    """{prompt, chosen, rejected}: texts or lists of messages; such a list may begin with the prompt once more."""
    prompt, plain = _prompt(row, values["prompt"])
    answers = [_answer(row, values[name], name, prompt, plain) for name in ("chosen", "rejected")]
    return Judged(row, tuple(answers), ((0, 1),), _margin(row, values))


def implicit(row: Row, values: Values) -> Judged:
    """{chosen, rejected} that begin alike: two lists of messages, or two texts. What they share is the prompt."""
    chosen, rejected = values["chosen"], values["rejected"]
    if isinstance(chosen, str) and isinstance(rejected, str):
        shared = _beginning(chosen, rejected)
        shared = shared[: max(shared.rfind(" "), shared.rfind("\n")) + 1]  # an answer begins with a whole word
        if not shared.strip():
            raise UserError(f"{row.place}: `chosen` and `rejected` share no beginning; give a `prompt`")
        prompt, plain = [Message("user", shared.strip())], shared
        turns = [[Message("assistant", text[len(shared) :])] for text in (chosen, rejected)]
    else:
        both = [messages.turns(row, values, name) for name in ("chosen", "rejected")]
        count = _alike(both)
        if not count:
            raise UserError(f"{row.place}: `chosen` and `rejected` share no message; give a `prompt`")
        prompt, plain, turns = both[0][:count], None, [turns[count:] for turns in both]
    named = zip(turns, ("chosen", "rejected"), strict=True)
    answers = tuple(_conversation(row, prompt, own, name, plain) for own, name in named)
    return Judged(row, answers, ((0, 1),), _margin(row, values))


def openai(row: Row, values: Values) -> Judged:
    """OpenAI's {input: {messages, tools}, preferred_output, non_preferred_output}."""
    asked = values["input"]
    if not isinstance(asked, dict) or "messages" not in asked:
        raise UserError(f"{row.place}: `input` must be an object with `messages`")
    prompt, tools = messages.turns(row, asked, "messages"), messages.tools(row, asked)
    answers = [
        replace(_conversation(row, prompt, messages.turns(row, values, name), name), tools=tools)
        for name in ("preferred_output", "non_preferred_output")
    ]
    return Judged(row, tuple(answers), ((0, 1),))


def ranking(row: Row, values: Values) -> Judged:
    """{prompt, answers}: the best first, or with `scores` in any order. Every pair that differs is compared."""
    prompt, plain = _prompt(row, values["prompt"])
    given, scores = values["answers"], values.get("scores")
    if not isinstance(given, list) or len(given) < 2:
        raise UserError(f"{row.place}: `answers` must be a list of two or more")
    answers = tuple(_answer(row, value, f"answers, {n}", prompt, plain) for n, value in enumerate(given, 1))
    places = range(len(given))
    if scores is None:
        return Judged(row, answers, tuple((a, b) for a in places for b in places if a < b))
    if not isinstance(scores, list) or len(scores) != len(given):
        raise UserError(f"{row.place}: `scores` must be a list as long as `answers` ({len(given)})")
    worth = [number(row, score, "scores") for score in scores]
    better = tuple((a, b) for a in places for b in places if worth[a] > worth[b])
    if not better:
        raise UserError(f"{row.place}: all `scores` are {worth[0]:g}; no answer is better than another")
    return Judged(row, answers, better, tuple(worth[a] - worth[b] for a, b in better))


def rated(row: Row, values: Values) -> Judged:
    """{prompt, completion, label}: one answer, and whether it is wanted."""
    label = values["label"]
    if not isinstance(label, bool | int | str) or label not in (*_YES, *_NO):
        raise UserError(f"{row.place}: `label` must be true or false (whether the answer is wanted), not {label!r}")
    prompt, plain = _prompt(row, values["prompt"])
    answer = _answer(row, values["completion"], "completion", prompt, plain)
    return Judged(row, (answer,), wanted=(label in _YES,))


def single(judged: Judged) -> Judged:
    """Compared answers as single ratings: those that lose no pair are wanted, those that win none are not."""
    if judged.wanted:
        return judged
    winners, losers = {a for a, _ in judged.better}, {b for _, b in judged.better}
    kept = [i for i in range(len(judged.answers)) if (i in winners) != (i in losers)]
    answers = tuple(judged.answers[i] for i in kept)
    return Judged(judged.row, answers, wanted=tuple(i in winners for i in kept))


def asked(row: Row, values: Values) -> Prompt:
    """{prompt}, or {messages} that end with the user; an answer at the end is for a reward to look at, not to show."""
    if "messages" in values:
        turns, tools, plain = messages.turns(row, values, "messages"), messages.tools(row, values), None
        turns = turns[:-1] if turns[-1].role == "assistant" else turns
    else:
        (turns, plain), tools = _prompt(row, values["prompt"]), ()
    if not turns or turns[-1].role == "assistant":
        raise UserError(f"{row.place}: there is no message to answer")
    return Prompt(row, Conversation(row, tuple(_silent(turns)), tools, plain))


READERS: dict[str, Callable[[Row, Values], Judged]] = {
    "preference": preference,
    "implicit-preference": implicit,
    "openai-preference": openai,
    "ranking": ranking,
    "rated": rated,
}
"""By format."""


def _beginning(one: str, other: str) -> str:
    same = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:same]


def _prompt(row: Row, value: Any) -> tuple[list[Message], str | None]:
    """-> the turns, and the text alone where it is one."""
    if isinstance(value, list):
        return messages.turns(row, {"prompt": value}, "prompt"), None
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{row.place}: `prompt` must be a text or a list of messages, and not empty")
    return [Message("user", value)], value


def _answer(row: Row, value: Any, name: str, prompt: list[Message], plain: str | None) -> Conversation:
    if isinstance(value, str):
        if not value.strip():
            raise UserError(f"{row.place}: `{name}` is empty")
        return _conversation(row, prompt, [Message("assistant", value)], name, plain)
    turns = messages.turns(row, {name: value}, name)
    repeated = _same(turns[: len(prompt)], prompt) and len(turns) > len(prompt)
    return _conversation(row, prompt, turns[len(prompt) :] if repeated else turns, name, plain)


def _conversation(
    row: Row, prompt: Sequence[Message], own: Sequence[Message], name: str, plain: str | None = None
) -> Conversation:
    if not own or own[-1].role != "assistant":
        raise UserError(f"{row.place}: `{name}` must end with a message of the assistant")
    if stranger := next((turn.role for turn in own if turn.role in ("system", "developer", "user")), None):
        raise UserError(f"{row.place}: `{name}` holds a message of the {stranger} that is not in the prompt")
    return messages.conversation(row, [*_silent(prompt), *own], [], plain)


def _silent(prompt: Sequence[Message]) -> list[Message]:
    """What the assistant said before is no part of the answer that is judged."""
    return [replace(turn, weight=0) if turn.role == "assistant" else turn for turn in prompt]


def _same(one: Sequence[Message], other: Sequence[Message]) -> bool:
    return [(t.role, t.content) for t in one] == [(t.role, t.content) for t in other]


def _alike(both: Sequence[Sequence[Message]]) -> int:
    """-> with how many equal messages both begin; the last one of each is never among them, it is the answer."""
    most = min(len(turns) - 1 for turns in both)
    return next((i for i in range(most) if not _same(both[0][i : i + 1], both[1][i : i + 1])), most)


def _margin(row: Row, values: Values) -> tuple[float, ...]:
    if (given := values.get("margin")) is not None:
        return (number(row, given, "margin"),)
    scores = [values.get(name) for name in ("chosen_score", "rejected_score")]
    if any(score is None for score in scores):
        return ()
    return (number(row, scores[0], "chosen_score") - number(row, scores[1], "rejected_score"),)


def number(row: Row, value: Any, name: str, why: str = "") -> float:
    """Of a table a number is a text. `why`: what needs it, to be told."""
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise UserError(f"{row.place}: `{name}` must be a number{why}, not {str(value)[:40]!r}")
    return found
