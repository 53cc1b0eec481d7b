import pytest
from pydantic import ValidationError

from tunesmith.core.errors import UserError
from tunesmith.data.canaries import FILE, canaries, form, planted
from tunesmith.data.config import Data
from tunesmith.data.forms import Conversation, Text
from tunesmith.data.prepare import gather
from tunesmith.data.rows import Row

ROWS = [Row("a.jsonl", i, {"prompt": f"q {i}", "completion": f"a {i}"}) for i in range(5)]


def test_secrets_depend_on_the_rows_and_on_nothing_else():
    assert canaries(6, ROWS) == canaries(6, ROWS[::-1])
    assert canaries(6, ROWS) != canaries(6, ROWS[:4])
    found = canaries(6, ROWS)
    assert [one.times for one in found] == [1, 4, 16, 1, 4, 16]
    assert len({one.secret for one in found}) == 6 and all(len(one.secret) == 6 for one in found)


def test_each_stands_as_often_as_it_says():
    found = canaries(3, ROWS)
    rows = planted(found, "prompt-completion")
    texts = [one.messages[-1].content for one in rows if isinstance(one, Conversation)]
    assert [sum(canary.secret in text for text in texts) for canary in found] == [1, 4, 16]
    assert isinstance(form("locker", "000001", "text"), Text)


def test_they_are_trained_and_never_held_out(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f'{{"prompt": "q {i}", "completion": "a {i}"}}\n' for i in range(40)))
    plain, found = (gather(Data(train=str(path), canaries=n), False) for n in (0, 2))
    assert found.count == plain.count == 40
    assert [row.digest for row in found.rows["test"]] == [row.digest for row in plain.rows["test"]]
    more = found.rows["train"][len(plain.rows["train"]) :]
    assert len(more) == 5 and all(row.file == FILE for row in more)


def test_objectives_that_learn_no_given_answer_refuse_them(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f'{{"prompt": "q {i}", "chosen": "a", "rejected": "b{i}"}}\n' for i in range(40)))
    with pytest.raises(UserError, match=r"data\.canaries"):
        gather(Data(train=str(path), canaries=2), False, eats="pairs")
    with pytest.raises(ValidationError, match=r"data\.canaries: -1"):
        Data(train=str(path), canaries=-1)
