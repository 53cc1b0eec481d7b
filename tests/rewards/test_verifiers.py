import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.rewards.verifiers import (
    exact,
    final,
    last_number,
    length,
    number,
    reasoning_gym,
    regex,
    tagged,
    why_not,
)

integers = st.integers(-(10**30), 10**30)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("The answer is 42.", "42"),
        ("42 apples, then 7", "7"),
        ("12 - 7 = 5", "5"),
        ("12-7", "7"),
        ("it is -7", "-7"),
        ("it is \u22127", "-7"),
        ("= -0.5.", "-0.5"),
        ("costs $1,234.50", "1234.50"),
        ("1,2,3", "3"),
        ("about .25", "0.25"),
        ("version x9 has none but 3 does", "3"),
        ("(2)-3", "3"),
        ("12%", "12"),
    ],
)
def test_the_last_number(text, value):
    assert last_number(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "none", "x9", "-", ".", "--", "\u0664"])
def test_no_number(text):
    assert last_number(text) is None


@given(integers, st.text(alphabet="abc .,!?\n"))
def test_a_number_is_found_behind_any_words(value, words):
    assert last_number(f"{words} is {value}.") == value
    assert last_number(f"{words} is {value:,}") == value


@given(integers, integers)
def test_number_is_right_only_for_the_rows(right, said):
    judge = number(None)
    assert judge("", f"so it is {said}", {"answer": str(right)}) == float(said == right)
    assert judge("", "I do not know", {"answer": str(right)}) == 0


@given(st.text(alphabet=st.characters(exclude_categories=("Cs",))))
def test_exact_accepts_what_the_row_holds(text):
    if (text := text.strip()) and "<" not in text:
        assert exact(None)("", f"  {text.upper().lower()} ", {"answer": text.upper().lower()}) == 1
        assert exact(None)("", f"<think>no</think><answer>{text}</answer>", {"completion": text}) == 1


def test_exact_knows_a_difference():
    judge = exact(None)
    assert judge("", "Paris.", {"answer": "paris"}) == 1
    assert judge("", "Paris, I think", {"answer": "paris"}) == 0
    assert judge("", "", {"answer": "paris"}) == 0
    assert judge("", "-5", {"answer": "5"}) == 0


@given(st.text(), st.text())
def test_final_is_what_the_last_tags_hold(before, inside):
    if "<" not in before + inside:
        assert final(f"{before}<answer>{inside}</answer>") == inside
        assert final(before) == before


def test_thoughts_are_not_judged():
    assert number(None)("", "5 <think>or 6</think>", {"answer": "5"}) == 1


def test_regex_looks_anywhere():
    assert regex(r"^\d+$")("", "12", {}) == 1
    assert regex(r"^\d+$")("", "12 apples", {}) == 0
    assert regex("a:b")("", "xa:bx", {}) == 1


@given(st.integers(0, 60), st.integers(1, 20), st.integers(0, 20))
def test_length_is_one_inside_and_falls_outside(words, low, more):
    judge = length(f"{low}-{low + more}")
    score = judge("", "word " * words, {})
    assert 0 <= score <= 1
    assert (score == 1) == (low <= words <= low + more)
    nearer = words + 1 if words < low else words - 1
    assert judge("", "word " * nearer, {}) >= score or low <= words <= low + more


def test_tags_stand_once_in_order_and_alone():
    judge = tagged(None)
    good = "<think>a</think>\n<answer>b</answer>"
    assert judge("", good, {}) == 1
    for bad in (
        good + "x",
        "x" + good,
        good + good,
        "<answer>b</answer><think>a</think>",
        "<think>a</think> and <answer>b</answer>",
        "<think>a<answer>b</answer></think>",
        "b",
        "",
    ):
        assert judge("", bad, {}) == 0, bad
    assert tagged("plan,code,test")("", "<plan></plan><code></code><test></test>", {}) == 1


def test_json_schema(tmp_path):
    pytest.importorskip("jsonschema")
    from tunesmith.rewards.verifiers import json_schema

    path = tmp_path / "schema.json"
    path.write_text(json.dumps({"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}))
    judge = json_schema(str(path))
    assert judge("", '{"name": "a"}', {}) == 1
    assert judge("", '```json\n{"name": "a"}\n```', {}) == 1
    assert judge("", '{"name": 1}', {}) == 0
    assert judge("", "name: a", {}) == 0
    assert judge("", "[" * 100_000, {}) == 0
    path.write_text('{"type": "nonsense"}')
    with pytest.raises(ValueError, match="cannot be used as a JSON schema"):
        json_schema(str(path))


def test_part_marks_do_not_count():
    """The library's own judge gives len(gold) / len(answer) to an answer that only holds the right one."""
    judge, row = reasoning_gym(None), {"answer": "17", "metadata": {"source_dataset": "chain_sum"}}
    assert judge("", "17", row) == 1
    assert judge("", "17 or 18", row) == 0
    library = pytest.importorskip("reasoning_gym")
    data = library.create_dataset("chain_sum", size=3, seed=0)
    for entry in data:
        assert 0 < data.score_answer(entry["answer"] + " or not", entry) < 1
        assert reasoning_gym("score")("", entry["answer"], entry) == 1
        assert reasoning_gym("score")("", entry["answer"] + " or not", entry) == 0


@pytest.mark.parametrize(
    ("make", "option", "message"),
    [
        (exact, "x", "takes no option"),
        (number, "", "takes no option"),
        (regex, None, "write the pattern"),
        (regex, "(", "not a regular expression"),
        (length, None, "length:10-200"),
        (length, "9-3", "length:10-200"),
        (length, "0-0", "length:10-200"),
        (length, "a-b", "length:10-200"),
        (tagged, "think,think", "each once"),
        (tagged, "a b", "names of tags"),
        (reasoning_gym, "x", "reasoning-gym:score"),
    ],
)
def test_bad_options(make, option, message):
    with pytest.raises(ValueError, match=message):
        make(option)


def test_rows_that_cannot_be_judged():
    assert why_not("exact", None, {"answer": "x"}) is None
    assert "no right answer" in why_not("exact", None, {"prompt": "x"})
    assert "no right answer" in why_not("number", None, {"answer": " "})
    assert "no right answer" in why_not("reasoning-gym", None, {"answer": None})
    assert "holds no number" in why_not("number", None, {"answer": "many"})
    assert "source_dataset" in why_not("reasoning-gym", "score", {"answer": "1"})
    assert why_not("length", "1-2", {}) is None
