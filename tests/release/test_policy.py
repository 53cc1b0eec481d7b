from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.core.errors import UserError
from tunesmith.release.amount import parse_amount
from tunesmith.release.policy import read_policy, shipped


@pytest.mark.parametrize(
    ("written", "change", "level"),
    [("2 %", 0.8, 0.02), ("2%", 0.8, 0.02), (3, 3, 3), ("1.5 points", 0.015, 0.015), ("50 MB", 5e7, 5e7)],
)  # fmt: skip
def test_amounts(written: object, change: float, level: float) -> None:
    found = parse_amount(written)
    assert found.of(-40.0) == pytest.approx(change) and found.level == pytest.approx(level)
    assert found.written == str(written)


@given(st.floats(0, 1e6, allow_nan=False), st.sampled_from(["", " %", " points", " MB"]))
def test_what_is_written_is_what_is_read(number: float, unit: str) -> None:
    factor = {"": 1, " %": 0.01, " points": 0.01, " MB": 1e6}[unit]
    assert parse_amount(f"{number!r}{unit}").level == pytest.approx(number * factor)


@pytest.mark.parametrize("wrong", ["much", "2 per cent", True, None, [1], "nan", "inf", ""])
def test_no_amounts(wrong: object) -> None:
    with pytest.raises(UserError, match=r"2 %"):
        parse_amount(wrong)


def test_those_that_are_shipped_can_be_read_and_get_stricter() -> None:
    assert shipped() == ["company", "hobby", "regulated"]
    counts = [len(read_policy(name).rules) for name in ("hobby", "company", "regulated")]
    assert counts == sorted(set(counts))
    rises = [read_policy(name).rules["general.perplexity"].rise_at_most for name in ("hobby", "company", "regulated")]
    assert [rise.number for rise in rises if rise] == [10, 5, 2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules: {genral.perplexity: {rise_at_most: 1}}", "no suite is called `genral`; did you mean `general`"),
        ("rules: {task.acuracy: {gain_above: 0}}", "no metric `acuracy`; did you mean `accuracy`"),
        ("rules: {perplexity: {gain_above: 0}}", "write SUITE.METRIC"),
        ("rules: {task.accuracy: {gain_abov: 0}}", "accuracy.gain_abov: not a field.*mean `gain_above`"),
        ("rules: {task.accuracy: {gain_above: lots}}", "rules.task.accuracy.gain_above: `lots` is no amount"),
        ("rules: {task.accuracy: {why: because}}", "rules.task.accuracy: gives no limit"),
        ("rules: {}", "rules: "),
        ("rule: {}", "rule: not a field of a policy; did you mean `rules`"),
        ("[1]", "a policy is a list of keys and values"),
        ("rules: {a: 1, a: 2}", "given twice"),
        ("rules: {task.accuracy: {gain_above: 0, of: dogs}}", "rules.task.accuracy.of"),
    ],
)  # fmt: skip
def test_a_wrong_policy(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=said) as caught:
        read_policy(str(path))
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_a_policy_that_is_not_there() -> None:
    with pytest.raises(UserError, match=r"did you mean `company`"):
        read_policy("compny")
