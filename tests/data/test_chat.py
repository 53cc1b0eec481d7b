import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken

from tests.data.templates import ALPACA, CHATML, GEMMA, LLAMA3, MISTRAL, QWEN3, QWEN25, R1, SMOLLM, STEADY, tokenizer
from tunesmith.core.errors import UserError
from tunesmith.data.chat import ChatTemplate
from tunesmith.data.config import Data
from tunesmith.data.encode import Encoded, Encoder
from tunesmith.data.messages import chat
from tunesmith.data.rows import Row
from tunesmith.data.show import spans

TOKENIZERS = {name: tokenizer(template) for name, (template, _) in STEADY.items()}
TEMPLATES = {name: ChatTemplate(made) for name, made in TOKENIZERS.items()}


def turns(*contents: str) -> dict:
    """User and assistant in turn."""
    return {"messages": [{"role": ("user", "assistant")[i % 2], "content": c} for i, c in enumerate(contents)]}


def encoded(values: dict, template: str | None, **config) -> Encoded:
    made = tokenizer(template)
    row = Row("f.jsonl", 7, values)
    found = Encoder(Data(train="f.jsonl", **config), made, None).encoded(chat(row, values), ask=True)
    assert found is not None
    return found


def learned(values: dict, template: str, **config) -> list[str]:
    """The trained pieces of text."""
    example = encoded(values, template, **config).examples[0]
    return [text for text, trained in spans(example, tokenizer(template)) if trained]


@pytest.mark.parametrize("name", STEADY)
def test_both_answers_and_their_stop_tokens_are_trained_and_nothing_else(name: str) -> None:
    template, stop = STEADY[name]
    found = learned(turns("hello cat", "yes", "and you", "no miller"), template)
    assert len(found) == 2
    first, last = (piece.removesuffix(stop) for piece in found)
    assert found[0].endswith(stop)
    assert found[1].endswith(stop or "</s>")  # without a stop token of its own the text must still end
    assert first.strip() == "yes"
    assert last.removesuffix("</s>").strip() == "no miller"


@pytest.mark.parametrize("name", STEADY)
def test_the_tokens_are_those_of_the_whole_render(name: str) -> None:
    made = TOKENIZERS[name]
    values = turns("hello cat", "yes", "and you", "no miller")
    example = encoded(values, STEADY[name][0]).examples[0]
    whole = made.apply_chat_template(values["messages"], tokenize=False)
    expected = made(whole, add_special_tokens=False)["input_ids"]
    assert list(example.tokens[: len(expected)]) == expected
    assert len(example) - len(expected) == (name == "alpaca")  # there the end-of-text token follows
    assert "".join(text for text, _ in spans(example, made)).startswith(whole)


@pytest.mark.parametrize("name", STEADY)
def test_the_question_of_an_item_is_the_generation_prompt(name: str) -> None:
    values = turns("hello cat", "yes", "and you", "no miller")
    item = encoded(values, STEADY[name][0]).item
    assert item is not None
    made = TOKENIZERS[name]
    asked = made.apply_chat_template(values["messages"][:3], tokenize=False, add_generation_prompt=True)
    assert item.prompt == made(asked, add_special_tokens=False)["input_ids"]
    assert (item.prompt_text, item.answer, item.label, item.choices, item.row) == ("and you", "no miller", None, [], 7)


MARKS = st.sampled_from(
    [
        "<|im_start|>",
        "<|im_end|>\n",
        "<|im_start|>assistant\n",
        "</s>",
        "[/INST]",
        "<end_of_turn>\n",
        "\n",
        " ",
        "é",
        "漢",
        "😀",
    ]
)
CONTENT = st.lists(
    st.one_of(MARKS, st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)),
    min_size=1,
    max_size=5,
)
SAID = CONTENT.map("".join).filter(lambda text: bool(text.strip()))


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(sorted(STEADY)), st.lists(SAID, min_size=2, max_size=6).filter(lambda c: len(c) % 2 == 0))
def test_spans_hold_only_what_the_assistant_says(name: str, contents: list[str]) -> None:
    """Whatever the turns say, also in the words of the template: the pieces give the whole, spans the answers."""
    values = turns(*contents)
    rendered = TEMPLATES[name].rendered(chat(Row("f", 1, values), values))
    whole = TOKENIZERS[name].apply_chat_template(values["messages"], tokenize=False)
    assert rendered.text == whole
    assert len(rendered.spans) == len(contents) // 2
    for span, content in zip(rendered.spans, contents[1::2], strict=True):
        assert rendered.text[span.start : span.ends].strip() == content.strip()
        assert rendered.text[span.ends : span.stop] == STEADY[name][1]
    edges = [edge for span in rendered.spans for edge in (span.start, span.stop)]
    assert edges == sorted(edges)


@settings(max_examples=60, deadline=None)
@given(st.booleans(), st.sampled_from([CHATML, LLAMA3, MISTRAL]), SAID, SAID)
def test_no_trained_token_reaches_into_the_context(trim: bool, template: str, asked: str, answer: str) -> None:
    """Checked against the bytes: the trained tokens together are a piece of the span's bytes."""
    made = tokenizer(template, trim_offsets=trim)
    values = turns(asked, answer)
    form = chat(Row("f", 1, values), values)
    found = Encoder(Data(train="f"), made, None).encoded(form, ask=False)
    assert found is not None
    example = found.examples[0]
    (span,) = ChatTemplate(made).rendered(form).spans
    text = made.apply_chat_template(values["messages"], tokenize=False)
    place = 0
    for token, trained in zip(example.tokens, example.trained, strict=True):
        name = made.convert_ids_to_tokens(token)
        size = len(name.encode() if token in made.all_special_ids else name)  # one sign of the alphabet is one byte
        inside = len(text[: span.start].encode()) <= place and place + size <= len(text[: span.stop].encode())
        assert inside or not trained
        assert trained or not inside or place == 0
        place += size
    assert place == len(text.encode())


def test_a_stop_token_that_swallows_the_newline_behind_it_is_trained() -> None:
    made = tokenizer(None, trim_offsets=False)
    made.add_tokens([AddedToken("<|fin|>", rstrip=True, special=True, normalized=False)], special_tokens=True)
    made.chat_template = CHATML.replace("<|im_end|>", "<|fin|>")
    fin = made.convert_tokens_to_ids("<|fin|>")
    whole = made("a<|fin|>\n", add_special_tokens=False, return_offsets_mapping=True)
    assert (whole["input_ids"][-1], whole["offset_mapping"][-1]) == (fin, (1, 9))  # it does swallow it
    values = turns("hello", "yes", "and", "no")
    found = Encoder(Data(train="f"), made, None).encoded(chat(Row("f", 1, values), values), ask=False)
    assert found is not None
    (example,) = found.examples
    learned_ids = [token for token, trained in zip(example.tokens, example.trained, strict=True) if trained]
    assert learned_ids.count(fin) == 2 and learned_ids[-1] == fin


def test_a_turn_that_ends_unlike_the_others_is_refused() -> None:
    template = CHATML.replace("<|im_end|>", "{{ '<|eot_id|>' if m['content'] == 'bye' else '<|im_end|>' }}")
    assert learned(turns("hello", "yes"), template) == ["yes<|im_end|>"]
    with pytest.raises(UserError, match="row 7: the chat template does not end message 2 as it ends others"):
        encoded(turns("hello", "bye"), template)


def test_weight_0_is_context() -> None:
    values = turns("hello", "yes", "and", "no")
    values["messages"][1]["weight"] = 0
    assert learned(values, SMOLLM) == ["no<|im_end|>"]
    values["messages"][3]["weight"] = 0
    with pytest.raises(UserError, match=r"f.jsonl, row 7: no token would be trained"):
        encoded(values, SMOLLM)


def test_train_on_all_trains_everything_but_the_first_token() -> None:
    example = encoded(turns("hello", "yes"), CHATML, train_on="all").examples[0]
    assert list(example.trained) == [False] + [True] * (len(example) - 1)
    values = turns("hello", "yes")
    values["messages"][1]["weight"] = 0
    with pytest.raises(UserError, match="weight 0"):
        encoded(values, CHATML, train_on="all")


def test_a_template_that_rewrites_earlier_turns_trains_the_last_and_counts_it() -> None:
    values = turns("hello", "yes", "and", "no")
    assert learned(values, QWEN3) == ["<think>\n\n</think>\n\nno<|im_end|>"]
    made = tokenizer(QWEN3)
    encoder = Encoder(Data(train="f"), made, None)
    encoder.encoded(chat(Row("f", 1, values), values), ask=False)
    assert encoder.counts["last turn only"] == 1
    values["messages"][1]["weight"] = 0  # now only the last was wanted: nothing is lost
    encoder.encoded(chat(Row("f", 2, values), values), ask=False)
    assert encoder.counts["last turn only"] == 1


def test_a_rewritten_turn_that_alone_would_be_trained_is_refused() -> None:
    values = turns("hello", "yes", "and", "no")
    values["messages"][3]["weight"] = 0
    with pytest.raises(UserError, match=r"row 7: the chat template rewrites message 2"):
        encoded(values, QWEN3)


def test_a_generation_prompt_unlike_the_written_turns_is_refused() -> None:
    with pytest.raises(UserError, match=r"row 7: the chat template does not begin message 2 as its generation prompt"):
        encoded(turns("hello", "yes"), R1)


def test_what_a_template_refuses_names_the_row_and_its_words() -> None:
    values = {"messages": [{"role": "system", "content": "be kind"}, *turns("hello", "yes")["messages"]]}
    with pytest.raises(UserError, match=r"f.jsonl, row 7: .*System role not supported"):
        encoded(values, GEMMA)


def test_tool_calls_are_trained_with_the_turns_stop_token_and_tool_answers_are_not() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bern"}'}}
    values = {
        "tools": [{"type": "function", "function": {"name": "weather", "parameters": {}}}],
        "messages": [
            {"role": "user", "content": "weather?"},
            {"role": "assistant", "content": None, "tool_calls": [call, call]},
            {"role": "tool", "tool_call_id": "c1", "content": "rain"},
            {"role": "tool", "tool_call_id": "c1", "content": "sun"},
            {"role": "assistant", "content": "Rain in Bern."},
        ],
        "parallel_tool_calls": True,
    }
    written = '<tool_call>\n{"name": "weather", "arguments": {"city": "Bern"}}\n</tool_call>'
    assert learned(values, QWEN25) == [f"{written}\n{written}<|im_end|>", "Rain in Bern.<|im_end|>"]
    whole = "".join(text for text, _ in spans(encoded(values, QWEN25).examples[0], tokenizer(QWEN25)))
    assert whole.startswith("<|im_start|>system\nTools:" + json.dumps(values["tools"][0]))


def test_a_developer_is_a_system_to_templates_that_know_none() -> None:
    values = {"messages": [{"role": "developer", "content": "be kind"}, *turns("hello", "yes")["messages"]]}
    example = encoded(values, CHATML).examples[0]
    assert "".join(text for text, _ in spans(example, tokenizer(CHATML))).startswith("<|im_start|>system\nbe kind")


def test_the_recipes_system_message_is_put_before_conversations_without_one() -> None:
    example = encoded(turns("hello", "yes"), SMOLLM, system="Be brief.").examples[0]
    text = "".join(piece for piece, _ in spans(example, tokenizer(SMOLLM)))
    assert text.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user")


def test_the_stop_token_is_known() -> None:
    made = tokenizer(LLAMA3)
    assert Encoder(Data(train="f"), made, None).stop == made.convert_tokens_to_ids("<|eot_id|>")
    assert Encoder(Data(train="f"), tokenizer(ALPACA), None).stop == made.eos_token_id
    assert Encoder(Data(train="f"), tokenizer(None), None).stop == made.eos_token_id


def test_a_conversation_without_a_chat_template_is_refused() -> None:
    with pytest.raises(UserError, match="needs a chat template"):
        encoded(turns("hello", "yes"), None)


def test_a_template_that_writes_the_date_writes_the_same_one_every_day() -> None:
    template = "Today is {{ strftime_now('%d %B %Y') }}. " + CHATML
    example = encoded(turns("hello", "yes"), template).examples[0]
    assert spans(example, tokenizer(template))[0][0].startswith("Today is 01 January 2025.")
    assert Encoder(Data(train="f"), tokenizer(template), None).dated
    assert not Encoder(Data(train="f"), tokenizer(CHATML), None).dated


def test_a_message_with_nothing_before_it_is_context() -> None:
    values = {"messages": [{"role": "assistant", "content": "welcome"}, *turns("hello", "yes")["messages"]]}
    assert learned(values, CHATML) == ["yes<|im_end|>"]
    assert learned(values, CHATML, system="Be kind.") == ["welcome<|im_end|>", "yes<|im_end|>"]
    with pytest.raises(UserError, match="row 7: no token would be trained: nothing stands before"):
        encoded({"messages": values["messages"][:1]}, CHATML)
