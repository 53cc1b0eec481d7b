"""Rows that compare or rate answers: what each format means, and what is refused."""

import json

import pytest

from tests.families import tiny_tokenizer
from tunesmith.core.errors import UserError
from tunesmith.data.config import Data
from tunesmith.data.encode import SAME, SPACES, SWAPPED
from tunesmith.data.prepare import prepare


def _prepared(tmp_path, rows, eats, tokenizer=None, **config):
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = Data(train=str(file), **{"split": (1, 0, 0), **config})
    return prepare(data, tokenizer or tiny_tokenizer(), context=256, eats=eats)


def _said(example):
    """-> the text of each answer with what stands before it."""
    tokenizer = tiny_tokenizer()
    paths = [(path, [t for t, y in zip(path.tokens, path.trained, strict=True) if y]) for path in example.paths]
    return [(tokenizer.decode(path.tokens), tokenizer.decode(learned)) for path, learned in paths]


USER = {"role": "user", "content": "Is it raining?"}
YES, NO = {"role": "assistant", "content": "It is."}, {"role": "assistant", "content": "No idea!"}
SYSTEM = {"role": "system", "content": "Be kind."}
PAIR = {
    "texts": {"prompt": "Is it raining?", "chosen": "It is.", "rejected": "No idea!"},
    "messages": {"prompt": [USER], "chosen": [YES], "rejected": [NO]},
    "mixed": {"prompt": [USER], "chosen": "It is.", "rejected": [NO]},
    "the prompt once more": {"prompt": [USER], "chosen": [USER, YES], "rejected": [USER, NO]},
    "implicit": {"chosen": [USER, YES], "rejected": [USER, NO]},
    "OpenAI": {"input": {"messages": [USER]}, "preferred_output": [YES], "non_preferred_output": [NO]},
    "ranking": {"prompt": "Is it raining?", "answers": ["It is.", "No idea!"]},
}


@pytest.mark.parametrize("name", PAIR)
def test_a_pair_is_a_pair_however_it_is_written(tmp_path, name):
    found = _prepared(tmp_path, [PAIR[name], {**PAIR[name], "more": 1}], "pairs")
    asked = "<|im_start|>user\nIs it raining?<|im_end|>\n<|im_start|>assistant\n"
    chosen, rejected = _said(found.train[0])
    assert chosen == (f"{asked}It is.<|im_end|>\n", "It is.<|im_end|>")
    assert rejected == (f"{asked}No idea!<|im_end|>\n", "No idea!<|im_end|>")
    assert found.train[0].better == ((0, 1),) and found.eats == "pairs"


def test_what_the_assistant_said_before_is_not_judged(tmp_path):
    before = [SYSTEM, USER, YES, {"role": "user", "content": "Sure?"}]
    found = _prepared(tmp_path, [{"prompt": before, "chosen": "Yes.", "rejected": "Hm."}] * 1, "pairs")
    assert [learned for _, learned in _said(found.train[0])] == ["Yes.<|im_end|>", "Hm.<|im_end|>"]


def test_texts_that_begin_alike_share_a_prompt(tmp_path):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = None
    rows = [{"chosen": "Human: Hi there\n\nAssistant: Hello", "rejected": "Human: Hi there\n\nAssistant: Help"}]
    found = _prepared(tmp_path, rows, "pairs", tokenizer)
    assert [learned for _, learned in _said(found.train[0])] == ["Hello<|im_end|>", "Help<|im_end|>"]
    with pytest.raises(UserError, match=r"row 1: .* share no beginning"):
        _prepared(tmp_path, [{"chosen": "Yes", "rejected": "No"}], "pairs")


def test_rankings_become_every_pair_that_differs(tmp_path):
    rows = [{"prompt": "Q", "answers": ["a", "b", "c"], "scores": [1, 3, 1]}]
    one = _prepared(tmp_path, rows, "pairs").train[0]
    assert (one.better, one.margins, one.count) == (((1, 0), (1, 2)), (2.0, 2.0), 3)
    one = _prepared(tmp_path, [{"prompt": "Q", "answers": ["a", "b", "c"]}], "pairs").train[0]
    assert one.better == ((0, 1), (0, 2), (1, 2)) and one.margins == ()


def test_ratings_and_pairs_as_ratings(tmp_path):
    rows = [{"prompt": "Q", "completion": "a", "label": True}, {"prompt": "Q", "completion": "b", "label": 0}]
    assert [e.wanted for e in _prepared(tmp_path, rows, "rated").train] == [(True,), (False,)]
    assert _prepared(tmp_path, [PAIR["texts"]], "rated").train[0].wanted == (True, False)
    middle = _prepared(tmp_path, [{"prompt": "Q", "answers": ["a", "b", "c"]}], "rated").train[0]
    assert (middle.wanted, middle.count) == ((True, False), 2)  # the one in the middle is neither


def test_the_better_answer_alone_can_be_learned(tmp_path):
    found = _prepared(tmp_path, [PAIR["messages"]], "tokens")
    learned = [t for t, y in zip(found.train[0].tokens, found.train[0].trained, strict=True) if y]
    assert tiny_tokenizer().decode(learned) == "It is.<|im_end|>"
    assert any("best one is learned" in line for line in found.said)


def test_prompts_keep_their_row(tmp_path):
    rows = [{"prompt": "2 + 2?", "answer": "4"}, {"prompt": "2 + 3?", "answer": "5"}]
    one = _prepared(tmp_path, rows, "prompts").train[0]
    assert tiny_tokenizer().decode(one.tokens) == "<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n"
    assert not any(one.trained) and one.values["answer"] == "4" and one.prompt == "2 + 2?"
    turns = _prepared(tmp_path, [{"messages": [USER, YES]}], "prompts").train[0]
    assert turns.values["messages"] == [USER, YES] and tiny_tokenizer().decode(turns.tokens).count("assistant") == 1


def test_odd_pairs_are_told(tmp_path):
    rows = [
        PAIR["texts"],
        {"prompt": "A", "chosen": "same", "rejected": "same"},
        {"prompt": "B", "chosen": "two words", "rejected": "two  words"},
        {"prompt": "C", "chosen": "x", "rejected": "y", "chosen_score": 1, "rejected_score": 2},
    ]
    found = _prepared(tmp_path, rows, "pairs")
    told = "\n".join(found.said)
    for what, row in ((SAME, 2), (SPACES, 3), (SWAPPED, 4)):
        assert f"1 row: {what} ({tmp_path / 'rows.jsonl'}, row {row})" in told
    assert len(found.train) == 3 and found.facts["dropped"] == {SAME: 1}
    assert found.train[-1].margins == (-1.0,)


BAD = {
    "empty": ({"prompt": "Q", "chosen": "a", "rejected": " "}, "row 2: `rejected` is empty"),
    "no prompt": ({"prompt": "", "chosen": "a", "rejected": "b"}, "row 2: `prompt` must be a text"),
    "another question": (
        {"prompt": [USER], "chosen": [YES], "rejected": [{"role": "user", "content": "x"}, NO]},
        "row 2: `rejected` holds a message of the user",
    ),
    "ends with the user": ({"prompt": "Q", "chosen": [USER], "rejected": "b"}, "row 2: `chosen` must end with"),
    "a score that is none": (
        {"prompt": "Q", "chosen": "a", "rejected": "b", "margin": "much"},
        "row 2: `margin` must be a number",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_rows_are_named(tmp_path, name):
    row, words = BAD[name]
    with pytest.raises(UserError, match=words):
        _prepared(tmp_path, [PAIR["texts"], row], "pairs")


def test_rows_for_another_objective(tmp_path):
    with pytest.raises(UserError, match=r"row 1: looks like prompt-completion, which feeds objective=sft"):
        _prepared(tmp_path, [{"prompt": "a", "completion": "b"}], "pairs")
    with pytest.raises(UserError, match=r"row 1: looks like rated, which feeds objective=kto"):
        _prepared(tmp_path, [{"prompt": "a", "completion": "b", "label": True}], "pairs")
    with pytest.raises(UserError, match=r"data.format: messages cannot feed an objective over pairs"):
        _prepared(tmp_path, [PAIR["texts"]], "pairs", format="messages")
    with pytest.raises(UserError, match=r"data.train_on: all is for objective=sft"):
        _prepared(tmp_path, [PAIR["texts"]], "pairs", train_on="all")
    with pytest.raises(UserError, match=r"row 2: .*`label` must be true or false"):
        _prepared(
            tmp_path,
            [{"prompt": "Q", "completion": "a", "label": True}, {"prompt": "Q", "completion": "b", "label": "maybe"}],
            "rated",
        )


def test_long_answers_are_cut_or_dropped(tmp_path):
    rows = [PAIR["texts"], {"prompt": "Q", "chosen": "word " * 90, "rejected": "b"}]
    with pytest.raises(UserError, match=r"row 2: \d+ tokens where 256 fit"):
        _prepared(tmp_path, rows, "pairs")
    assert len(_prepared(tmp_path, rows, "pairs", too_long="drop").train) == 1
    cut = _prepared(tmp_path, rows, "pairs", too_long="truncate").train[1]
    assert cut.lengths[0] > 200
    with pytest.raises(UserError, match=r"row 1: the prompt has \d+ tokens"):
        _prepared(tmp_path, [{"prompt": "word " * 90}], "prompts")
