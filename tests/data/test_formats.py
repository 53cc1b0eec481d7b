from typing import Any

import pytest

from tunesmith.core.errors import UserError
from tunesmith.data.config import Data
from tunesmith.data.formats import forms, label_names, recognised
from tunesmith.data.forms import Conversation, Labelled, Text
from tunesmith.data.rows import Row

USER, ANSWER = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
CHAT: dict[str, Any] = {"messages": [USER, ANSWER]}
PAIR = {"prompt": "q", "completion": "a"}


def rows(*values: dict[str, Any]) -> list[Row]:
    return [Row("f.jsonl", n, value) for n, value in enumerate(values, start=1)]


def typed(*values: dict[str, Any], **config: Any) -> list[Any]:
    settings = Data(train="f.jsonl", **config)
    found = rows(*values)
    kind = recognised(settings, found)
    return forms(settings, kind, found, label_names(settings, found) if kind == "labelled" else ())


def said(form: Conversation) -> list[tuple[str, str]]:
    return [(turn.role, turn.content) for turn in form.messages]


QA = [("user", "q"), ("assistant", "a")]


@pytest.mark.parametrize(
    ("values", "kind", "turns"),
    [
        (CHAT, "messages", QA),
        ({"messages": '[{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]'}, "messages", QA),
        ({"messages": [{**USER, "content": [{"type": "text", "text": "q"}], "name": None}, ANSWER]}, "messages", QA),
        (PAIR, "prompt-completion", QA),
        ({"instruction": "q", "input": "", "output": "a"}, "alpaca", QA),
        ({"instruction": "q", "output": "a"}, "alpaca", QA),
        ({"instruction": "q", "input": "i", "output": "a"}, "alpaca", [("user", "q\n\ni"), ("assistant", "a")]),
        ({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}, "sharegpt", QA),
        ({"conversations": [USER, ANSWER]}, "sharegpt", QA),
        (
            {"system": "s", "conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
            "sharegpt",
            [("system", "s"), *QA],
        ),
    ],
)
def test_formats_are_recognised_and_become_turns(values: dict[str, Any], kind: str, turns: list) -> None:
    assert recognised(Data(train="f"), rows(values)) == kind
    assert recognised(Data(train="f", format=kind), rows(values)) == kind
    assert said(typed(values)[0]) == turns


def test_text_is_text() -> None:
    (form,) = typed({"text": "hello", "id": 3})
    assert isinstance(form, Text) and form.text == "hello"


def test_columns_map_our_fields_to_the_users() -> None:
    asked = {"question": "q", "answer": "a", "text": "not this"}
    (form,) = typed(asked, columns={"prompt": "question", "completion": "answer"})
    assert said(form) == QA
    with pytest.raises(UserError, match=r"row 1: has no column `qestion`, .*did you mean `question`"):
        typed(asked, columns={"prompt": "qestion", "completion": "answer"})


def test_labelled_text_is_a_question_with_all_labels() -> None:
    first, _ = typed(
        {"review": "so {good}", "rating": "up"},
        {"review": "b", "rating": "down"},
        columns={"text": "review", "label": "rating"},
    )
    assert isinstance(first, Labelled)
    assert (first.labels, first.label) == (("down", "up"), "up")
    (_, asked), answer = said(first.conversation())
    assert answer == ("assistant", "up")
    assert "so {good}" in asked and "down, up" in asked
    assert "short" in first.conversation("short").messages[0].content


def test_the_template_takes_any_column() -> None:
    values = {"text": "t", "label": "x", "drug": "{text}"}
    first, _ = typed(values, {**values, "label": "y"}, template="{drug}|{text}|{labels}")
    assert first.conversation().messages[0].content == "{text}|t|x, y"
    with pytest.raises(UserError, match=r"data.template: f.jsonl, row 1 has no column `drag`; did you mean `drug`"):
        typed(values, {**values, "label": "y"}, template="{drag} {text}")[0].conversation()


def test_numbered_labels_take_the_recipes_names() -> None:
    first, second = typed({"text": "t", "label": 1}, {"text": "u", "label": 0}, labels=("no", "yes"))
    assert (first.label, second.label) == ("yes", "no")
    first, second = typed({"text": "t", "label": 10}, {"text": "u", "label": 9})
    assert first.labels == ("9", "10")
    with pytest.raises(UserError, match="row 1: unknown label `2`"):
        typed({"text": "t", "label": 2}, labels=("no", "yes"))


LABELLED = {"text": "t", "label": "x"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            [{"promt": "q", "completion": "a"}],
            r"row 1: no format fits the fields `promt`, `completion`; did you mean `prompt`",
        ),
        ([PAIR, {"prompt": "q", "completions": "a"}], r"row 2: has no `completion`, .*did you mean `completions`"),
        ([PAIR, CHAT], r"row 2: looks like messages where the rows before it are prompt-completion"),
        ([{**PAIR, **CHAT}], r"row 1: two formats fit, messages and prompt-completion; name one as data.format"),
        ([{"prompt": " ", "completion": "a"}], r"row 1: `prompt` is empty"),
        ([{"prompt": "q", "completion": 3}], r"row 1: `completion` must be a text, not int"),
        ([{"messages": []}], r"row 1: the conversation is empty"),
        ([{"messages": None}], r"row 1: messages must be a list"),
        ([{"messages": "[broken"}], r"row 1: messages: is a text, but not of JSON"),
        ([{"messages": [USER]}], r"row 1: the last message is of the user; it must be the assistant's"),
        ([{"messages": [USER, {**ANSWER, "content": "  "}]}], r"row 1: message 2 \(assistant\) is empty"),
        ([{"messages": [USER, {"role": "assistant"}]}], r"row 1, message 2: has no `content`"),
        ([{"messages": [USER, {**ANSWER, "content": None}]}], r"row 1, message 2: content must be a text"),
        (
            [{"messages": [USER, {"role": "asistant", "content": "a"}]}],
            r"unknown role `asistant`; did you mean `assistant`",
        ),
        ([{"messages": [USER, {"content": "a"}]}], r"row 1, message 2: has no `role`"),
        ([{"messages": [USER, 3]}], r"row 1, message 2: has no `role`"),
        ([{"messages": [USER, {**ANSWER, "weight": 0.5}]}], r"row 1, message 2: weight must be 0 or 1, not 0.5"),
        (
            [{"messages": [{**USER, "weight": 1}, ANSWER]}],
            r"row 1, message 1: weight belongs to messages of the assistant",
        ),
        ([{"messages": [USER, {**ANSWER, "tool_call": []}]}], r"unknown field `tool_call`; did you mean `tool_calls`"),
        ([{"messages": [USER, {**ANSWER, "tool_calls": [{}]}]}], r"message 2, tool call 1: must be"),
        (
            [{"messages": [USER, {**ANSWER, "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}]}],
            r"arguments: is a text, but not of JSON",
        ),
        (
            [{"messages": [{**USER, "tool_calls": [{"function": {"name": "f"}}]}, ANSWER]}],
            r"only the assistant calls tools",
        ),
        ([{**CHAT, "tools": {"a": 1}}], r"row 1: tools must be a list of objects"),
        ([{**CHAT, "parallel_tool_calls": "yes"}], r"parallel_tool_calls must be true or false"),
        (
            [{"conversations": [{"from": "humam", "value": "q"}]}],
            r"row 1, turn 1: unknown role `humam`; did you mean `human`",
        ),
        ([{"conversations": [{"form": "human", "value": "q"}]}], r"row 1, turn 1: has no `from`; did you mean `form`"),
        ([LABELLED, LABELLED], r"every row has the label `x`"),
        ([LABELLED, {"text": "t", "label": None}], r"row 2: `label` must be a text or a whole number"),
        ([{"text": "t", "label": str(n)} for n in range(300)], r"300 different labels"),
    ],
)
def test_bad_rows_are_refused_with_their_number(values: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        typed(*values)
    assert "f.jsonl" in str(error.value) and "\n" not in str(error.value)


def test_settings_that_the_format_does_not_read_are_refused() -> None:
    with pytest.raises(UserError, match=r"data.labels: only labelled text has it, and f.jsonl holds messages"):
        typed(CHAT, labels=("a", "b"))
    with pytest.raises(UserError, match=r"data.system: plain text has no system message"):
        typed({"text": "t"}, system="s")
    with pytest.raises(UserError, match=r"several tools"):
        call = {"function": {"name": "f"}}
        typed({"messages": [USER, {**ANSWER, "tool_calls": [call, call]}], "parallel_tool_calls": False})
