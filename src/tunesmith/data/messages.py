"""Chat turns as OpenAI and ShareGPT write them, made into messages."""

import json
from collections.abc import Sequence
from typing import Any

from tunesmith.core.errors import UserError, near
from tunesmith.data.forms import Conversation, Message
from tunesmith.data.rows import Row

ROLES = ("system", "developer", "user", "assistant", "tool")
SHAREGPT_ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "system": "system",
    "tool": "tool",
    "observation": "tool",
}
_KNOWN = ("role", "content", "name", "tool_calls", "tool_call_id", "weight", "reasoning_content")
_PASSED = ("name", "tool_call_id", "reasoning_content")


def chat(row: Row, values: dict[str, Any]) -> Conversation:
    """OpenAI's `messages`, with `tools` and `parallel_tool_calls` beside them."""
    parallel = values.get("parallel_tool_calls")
    if parallel is not None and not isinstance(parallel, bool):
        raise UserError(f"{row.place}: parallel_tool_calls must be true or false")
    said = turns(row, values, "messages")
    if parallel is False and any(len(turn.tool_calls) > 1 for turn in said):
        raise UserError(f"{row.place}: parallel_tool_calls is false, and one message calls several tools")
    return conversation(row, said, tools(row, values))


def turns(row: Row, values: dict[str, Any], name: str) -> list[Message]:
    """-> the list of messages that stands in the column `name`."""
    where = "message" if name == "messages" else f"{name}, message"
    return [_message(turn, f"{row.place}, {where} {n}") for n, turn in enumerate(_list(row, values, name), 1)]


def tools(row: Row, values: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """-> the tools that may be called."""
    found = _from_json(values.get("tools"), f"{row.place}: tools") or []
    if not isinstance(found, list) or not all(isinstance(tool, dict) for tool in found):
        raise UserError(f"{row.place}: tools must be a list of objects")
    return tuple(found)


def sharegpt(row: Row, values: dict[str, Any]) -> Conversation:
    """ShareGPT's `conversations`: turns with `from` and `value`."""
    said = []
    for n, turn in enumerate(_list(row, values, "conversations"), start=1):
        place = f"{row.place}, turn {n}"
        if isinstance(turn, dict) and "role" in turn and "from" not in turn:
            said.append(_message(turn, place))
            continue
        for name in ("from", "value"):
            if not isinstance(turn, dict) or name not in turn:
                raise UserError(f"{place}: has no `{name}`{near(name, turn) if isinstance(turn, dict) else ''}")
        role = SHAREGPT_ROLES.get(str(turn["from"]))
        if role is None:
            raise UserError(f"{place}: unknown role `{turn['from']}`{near(str(turn['from']), SHAREGPT_ROLES)}")
        said.append(Message(role, _content(turn["value"], place)))
    system = values.get("system")
    if isinstance(system, str) and system.strip() and said and said[0].role != "system":
        said.insert(0, Message("system", system))
    return conversation(row, said, [])


def conversation(
    row: Row, turns: list[Message], tools: Sequence[dict[str, Any]], plain: str | None = None
) -> Conversation:
    """-> the turns, when they are a conversation that ends with the assistant and in which everyone says something."""
    if not turns:
        raise UserError(f"{row.place}: the conversation is empty")
    for n, turn in enumerate(turns, start=1):
        if not turn.content.strip() and not turn.tool_calls:
            raise UserError(f"{row.place}: message {n} ({turn.role}) is empty")
    if turns[-1].role != "assistant":
        raise UserError(f"{row.place}: the last message is of the {turns[-1].role}; it must be the assistant's")
    return Conversation(row, tuple(turns), tuple(tools), plain)


def _list(row: Row, values: dict[str, Any], name: str) -> list[Any]:
    turns = _from_json(values[name], f"{row.place}: {name}")
    if not isinstance(turns, list):
        raise UserError(f"{row.place}: {name} must be a list of turns")
    if not turns:
        raise UserError(f"{row.place}: the conversation is empty")
    return turns


def _message(turn: Any, place: str) -> Message:
    if not isinstance(turn, dict) or "role" not in turn:
        raise UserError(f"{place}: has no `role`{near('role', map(str, turn)) if isinstance(turn, dict) else ''}")
    # Tables fill absent fields with null.
    turn = {name: value for name, value in turn.items() if value is not None or name == "content"}
    role = turn.get("role")
    if role not in ROLES:
        raise UserError(f"{place}: unknown role `{role}`{near(str(role), ROLES)}; known are {', '.join(ROLES)}")
    for name in turn:
        if name not in _KNOWN and (meant := near(name, _KNOWN)):
            raise UserError(f"{place}: unknown field `{name}`{meant}")
    calls = _calls(turn.get("tool_calls"), place)
    if calls and role != "assistant":
        raise UserError(f"{place}: only the assistant calls tools, not the {role}")
    if "content" not in turn and not calls:
        raise UserError(f"{place}: has no `content`{near('content', turn)}")
    content = "" if calls and turn.get("content") is None else _content(turn["content"], place)
    return Message(role, content, calls, _weight(turn, place), {n: turn[n] for n in _PASSED if n in turn})


def _weight(turn: dict[str, Any], place: str) -> int:
    weight = turn.get("weight", 1)
    if isinstance(weight, bool) or weight not in (0, 1):
        raise UserError(f"{place}: weight must be 0 or 1, not {json.dumps(weight, default=str)}")
    if "weight" in turn and turn["role"] != "assistant":
        raise UserError(f"{place}: weight belongs to messages of the assistant, not of the {turn['role']}")
    return int(weight)


def _content(value: Any, place: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(part, dict) for part in value):
        if all(part.get("type") == "text" and isinstance(part.get("text"), str) for part in value):
            return "".join(part["text"] for part in value)
        raise UserError(f"{place}: content holds parts that are not text")
    raise UserError(f"{place}: content must be a text")


def _calls(value: Any, place: str) -> tuple[dict[str, Any], ...]:
    calls = _from_json(value, f"{place}: tool_calls") or []
    if not isinstance(calls, list):
        raise UserError(f"{place}: tool_calls must be a list")
    return tuple(_call(call, f"{place}, tool call {n}") for n, call in enumerate(calls, start=1))


def _call(call: Any, place: str) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise UserError(f"{place}: must be {{type: function, function: {{name, arguments}}}}")
    # OpenAI writes the arguments as a text of JSON; chat templates expect the object.
    arguments = _from_json(function.get("arguments"), f"{place}: arguments") or {}
    if not isinstance(arguments, dict):
        raise UserError(f"{place}: arguments must be an object, or the JSON text of one")
    return {**call, "type": "function", "function": {**function, "arguments": arguments}}


def _from_json(value: Any, place: str) -> Any:
    if not isinstance(value, str) or not value.strip():
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise UserError(f"{place}: is a text, but not of JSON") from None
