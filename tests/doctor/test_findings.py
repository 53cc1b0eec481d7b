"""Each kind of finding is found where it was planted, and nowhere else."""

import random
from typing import Any

import numpy as np
import pytest
from scipy.optimize import check_grad

from tunesmith.core.errors import UserError
from tunesmith.data.config import Data
from tunesmith.data.rows import Row
from tunesmith.doctor import classifier
from tunesmith.doctor.case import Case
from tunesmith.doctor.curve import learning_curve
from tunesmith.doctor.entries import read_entries
from tunesmith.doctor.facts import facts
from tunesmith.doctor.mend import Wish, mended
from tunesmith.doctor.table import FINDERS, KINDS, examined

WORDS = ("river", "stone", "lamp", "green", "window", "paper", "quiet", "engine", "seven", "market", "butter", "cloud")
ENDS = ["", *(a + b for a in "bdfgklmnprst" for b in "aeiou")]


def spoken(draw: random.Random, count: int) -> str:
    return " ".join(draw.choice(WORDS) + draw.choice(ENDS) for _ in range(count))


def rows_of(count: int, seed: int = 0) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    return [{"prompt": spoken(draw, 9), "completion": spoken(draw, 12)} for _ in range(count)]


def case(rows: list[dict[str, Any]], test: list[dict[str, Any]] | None = None, **more: Any) -> Case:
    def read(name: str, values: list[dict[str, Any]]) -> list[Row]:
        return [Row(name, n, one) for n, one in enumerate(values, start=1)]

    config = Data(train="a.jsonl", test="t.jsonl" if test else None, **more)
    own = {"test": read_entries(config, read("t.jsonl", test))} if test else {}
    return Case(config, read_entries(config, read("a.jsonl", rows)), own)


def found(some: Case) -> dict[str, list[int]]:
    return {one.kind: one.rows for one in examined(some)}


def test_rows_without_a_fault_have_no_finding() -> None:
    assert found(case(rows_of(60))) == {}


def test_doubles() -> None:
    rows = rows_of(40)
    almost = dict(rows[4], completion=rows[4]["completion"].replace(rows[4]["completion"].split()[3], "entirely"))
    other = dict(rows[5], completion="something else altogether")
    kinds = found(case([*rows, dict(rows[3]), almost, other]))
    assert kinds["exact_duplicate"] == [41]
    assert 42 in kinds["near_duplicate"]
    assert kinds["conflicting_answers"] == [5, 6, 42, 43]


def test_numbers_are_content() -> None:
    rows = [{"prompt": f"What is {a} {sign} 7? Answer with the number only.", "completion": str(a)} for a in range(30)
            for sign in "+-"]  # fmt: skip
    assert found(case(rows)) == {}


def test_answers() -> None:
    rows = rows_of(60)
    rows[1]["completion"] = "  "
    rows[2]["completion"] = "I'm sorry, but I can't help with that."
    rows[3]["completion"] = "Dear [insert name], thank you for the letter."
    for n in range(10, 20):
        rows[n]["completion"] = "Please see the manual for details."
    kinds = found(case(rows))
    assert (kinds["empty_answer"], kinds["refused_answer"], kinds["unfilled_answer"]) == ([2], [3], [4])
    assert kinds["templated_answer"] == list(range(11, 21))


def test_contamination_whole_and_in_part() -> None:
    rows, test = rows_of(80), rows_of(20, seed=1)
    inner = " ".join(f"{test[4]['prompt']} {test[4]['completion']}".split()[3:16])
    rows[7] = dict(test[2])
    rows[11] = {"prompt": "tell me more", "completion": f"so then {inner} and so on"}
    rows[13] = {"prompt": test[6]["prompt"], "completion": "another answer entirely"}
    assert found(case(rows, test))["contamination"] == [8, 12, 14]


def test_wording_that_all_rows_share_is_no_contamination() -> None:
    task = "Read the following text with care and then say in one word which of the labels fits best to it:"
    rows = [dict(row, prompt=f"{task} {row['prompt']}") for row in rows_of(80)]
    test = [dict(row, prompt=f"{task} {row['prompt']}") for row in rows_of(20, seed=1)]
    assert found(case(rows, test)) == {}


def labelled(count: int, wrong: set[int]) -> list[dict[str, str]]:
    draw = random.Random(3)
    signs = {"good": ["lovely", "fine", "great", "warm"], "bad": ["broken", "late", "cold", "rude"]}
    rows = []
    for n in range(count):
        label = draw.choice(["good", "bad"])
        text = f"{spoken(draw, 6)} {draw.choice(signs[label])} {draw.choice(signs[label])} {spoken(draw, 4)}"
        rows.append({"text": text, "label": {"good": "bad", "bad": "good"}[label] if n in wrong else label})
    return rows


def test_label_errors() -> None:
    wrong = {5, 40, 77, 130}
    suspected = set(found(case(labelled(200, wrong)))["label_error"])
    assert suspected <= {n + 1 for n in wrong} and len(suspected) >= 3


def test_imbalance_names_the_rare_rows() -> None:
    rows = [row for row in labelled(200, set()) if row["label"] == "good"][:60]
    rows += [row for row in labelled(400, set())[200:] if row["label"] == "bad"][:9]
    assert found(case(rows))["imbalance"] == list(range(61, 70))


def test_languages_and_outliers() -> None:
    english = "The committee will meet again on the second day of the month to talk about the budget for schools"
    german = "Der Ausschuss wird am zweiten Tag des Monats erneut zusammentreten, um über den Haushalt zu sprechen"
    draw = random.Random(0)
    rows = [{"prompt": "Say it", "completion": " ".join(draw.sample(english.split(), 15))} for _ in range(40)]
    rows.append({"prompt": "Sag es", "completion": german})
    rows.append({"prompt": "Say it all", "completion": "caf\u00c3\u00a9 " + " ".join(english.split() * 12)})
    kinds = found(case(rows))
    assert kinds["other_language"] == [41] and kinds["broken_text"] == [42] and kinds["outlier"] == [42]


def test_private_data_is_named_by_kind_and_never_repeated() -> None:
    rows = rows_of(40)
    rows[3]["completion"] += " Write to anna.kahn@example.org or call +44 1632 960983."
    rows[4]["completion"] += " password=Xk29-fuhQ7"
    findings = {one.kind: one for one in examined(case(rows))}
    assert findings["personal_data"].rows == [4] and findings["secret"].rows == [5]
    assert findings["personal_data"].more["what"] == {"e-mail": [4], "phone": [4]}
    assert "anna.kahn" not in str(findings["personal_data"]) and "Xk29" not in str(findings["secret"])


def test_what_mending_does_and_logs() -> None:
    rows = rows_of(40)
    rows[3]["completion"] += " Write to anna.kahn@example.org."
    rows[5]["completion"] = ""
    rows += [dict(rows[0]), dict(rows[1])]
    some = case(rows)
    before = [dict(row) for row in rows]
    done = mended(some, examined(some))
    assert len(done.rows) == 39 and rows == before
    assert done.counts == {"redacted": 1, "empty_answer": 1, "exact_duplicate": 2}
    assert [(line["row"], line["action"]) for line in done.log] == [
        (4, "changed"), (6, "dropped"), (41, "dropped"), (42, "dropped"),
    ]  # fmt: skip
    assert "anna" not in str(done.log) and "[EMAIL_1]" in done.rows[3]["completion"]
    assert found(case(done.rows)) == {}
    kept = mended(some, examined(some), Wish(keep=("exact_duplicate", "personal_data")))
    assert len(kept.rows) == 41 and kept.rows[3] == rows[3]


def test_balance_and_wishes() -> None:
    rows = labelled(100, set())
    some = case(rows)
    done = mended(some, examined(some), Wish(balance=True))
    counts = [sum(row["label"] == label for row in done.rows) for label in ("good", "bad")]
    assert counts[0] == counts[1] == min(some.labels.values())
    with pytest.raises(UserError, match="label_error"):
        Wish(drop=("label_eror",)).checked()
    with pytest.raises(UserError, match="labels"):
        mended(case(rows_of(20)), [], Wish(balance=True))


def test_chat_pairs_prompts_and_numbers_are_read() -> None:
    talk = [{"messages": [{"role": "user", "content": f"hello {n}"}, {"role": "assistant", "content": f"{n} times"}]}
            for n in range(20)]  # fmt: skip
    talk[3]["messages"][1]["content"] = ""
    assert found(case(talk)) == {"empty_answer": [4]}
    assert facts(case(talk))["turns"] == {"2": 19}
    pairs = [{"prompt": f"q{n} of {n}", "chosen": f"yes {n} or", "rejected": f"no {n}"} for n in range(20)]
    pairs.append({"prompt": "q3 of 3", "chosen": "no 3", "rejected": "yes 3 or"})
    assert found(case(pairs))["conflicting_answers"] == [4, 21]
    assert found(case([{"prompt": f"question {n} of {n * n}"} for n in range(20)])) == {}


def test_rows_of_nothing_are_refused() -> None:
    with pytest.raises(UserError, match=r"a\.jsonl, row 1"):
        case([{"prompt": "x", "completion": " "}, {"prompt": "y", "completion": ""}])
    with pytest.raises(UserError, match="row 2"):
        case([{"prompt": "x", "completion": "y"}, {"prompt": "y", "compltion": "z"}])


def test_every_finding_has_a_place_in_the_table() -> None:
    assert len(FINDERS) > 10 and all(kind.mending in ("drop", "redact", "look") for kind in KINDS.values())
    assert all(kind.title and kind.advice.endswith(".") for kind in KINDS.values())


def test_the_gradient_of_the_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    x = classifier.features([tuple(f"a b {n % 3} c{n % 2}".split()) for n in range(12)])
    y = np.array([n % 2 for n in range(12)])
    held: list[Any] = []
    real = classifier.minimize

    def spy(loss: Any, start: np.ndarray, **more: Any) -> Any:
        held.append((loss, start))
        return real(loss, start, **more)

    monkeypatch.setattr(classifier, "minimize", spy)
    weights = classifier.fitted(x, y, 2)
    loss, start = held[0]
    point = start + np.random.default_rng(0).normal(size=start.shape) / 3
    assert check_grad(lambda w: loss(w)[0], lambda w: loss(w)[1], point) < 1e-4
    assert (classifier.probabilities(x, weights).argmax(axis=1) == y).all()


def test_the_learning_curve_rises_and_is_for_labels() -> None:
    curve = learning_curve(case(labelled(300, set())))
    accuracy = [point["accuracy"] for point in curve["points"]]
    assert accuracy[-1] > 0.95 and accuracy[-1] >= accuracy[0] and "twice" in curve["said"]
    with pytest.raises(UserError, match="learning-curve"):
        learning_curve(case(rows_of(100)))
