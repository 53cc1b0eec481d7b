import csv
import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.data.templates import ALPACA, CHATML, QWEN3, SMOLLM, tokenizer
from tunesmith.core.errors import UserError
from tunesmith.data.config import Data
from tunesmith.data.prepare import Prepared, prepare
from tunesmith.data.show import spans

WORDS = [f"word{n}" for n in range(300)]
SOURCE = random.Random(5)


def words(count: int) -> str:
    return " ".join(SOURCE.choices(WORDS, k=count))


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("labelled") / "reviews.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows([words(12), ("yes", "no", "positive")[n % 3]] for n in range(80))
    return str(path)


def pairs(folder: Path, count: int = 40, name: str = "pairs.jsonl") -> str:
    return write(folder / name, [{"prompt": words(6), "completion": words(4)} for _ in range(count)])


def prepared(template: str | None = SMOLLM, context: int | None = None, **config: Any) -> Prepared:
    return prepare(Data(**config), tokenizer(template), context=context)


def test_labelled_rows_become_examples_questions_and_facts(labelled: str) -> None:
    found = prepared(train=labelled, split=(0.6, 0.2, 0.2))
    made = tokenizer(SMOLLM)
    stop = made.convert_tokens_to_ids("<|im_end|>")
    assert found.labels == ("no", "positive", "yes")
    assert found.stop == stop
    assert len(found.train) + len(found.validation) + len(found.test) == 80
    assert [item.row for item in found.test_items] == [example.row for example in found.test]
    for item, example in zip(found.test_items, found.test, strict=True):
        assert [made.decode(choice) for choice in item.choices] == [f"{name}<|im_end|>" for name in found.labels]
        own = item.choices[found.labels.index(item.label or "")]
        learned = [t for t, trained in zip(example.tokens, example.trained, strict=True) if trained]
        assert own == learned and own[-1] == stop
        assert list(example.tokens)[: len(item.prompt) + len(own)] == item.prompt + own
        assert item.answer == item.label and item.prompt_text.startswith("Which label fits")


def test_facts_are_json_and_add_up(labelled: str) -> None:
    found = prepared(train=labelled)
    facts = json.loads(json.dumps(found.facts))
    assert facts["files"] == {labelled: hashlib.sha256(Path(labelled).read_bytes()).hexdigest()}
    assert (facts["format"], facts["rows_read"], facts["labels"]) == ("labelled", 80, ["no", "positive", "yes"])
    for part, examples in (("train", found.train), ("validation", found.validation), ("test", found.test)):
        sizes = facts["parts"][part]
        assert sizes["rows"] == sizes["examples"] == len(examples) == sum(sizes["labels"].values())
        assert sizes["tokens"] == sum(map(len, examples))
        assert sizes["trained_tokens"] == sum(sum(e.trained) for e in examples)
    assert facts["longest"]["tokens"] == max(len(e) for e in (*found.train, *found.validation, *found.test))
    assert found.said[0] == f"{labelled}: 80 rows of labelled text"


def test_the_mask_hash_sees_every_mask(labelled: str) -> None:
    one, same = prepared(train=labelled), prepared(train=labelled)
    other = prepared(train=labelled, train_on="all")
    assert one.facts["mask_sha256"] == same.facts["mask_sha256"] != other.facts["mask_sha256"]
    assert all(not e.trained[0] and all(e.trained[1:]) for e in other.train)
    assert [item.choices for item in other.test_items] != []
    assert all(choice for item in other.test_items for choice in item.choices)


def test_own_files_are_used_and_overlap_is_told(tmp_path: Path) -> None:
    train, test = pairs(tmp_path), pairs(tmp_path, 5, "test.jsonl")
    with open(test, "a") as file:
        file.write("\n" + Path(train).read_text().splitlines()[0])
    found = prepared(train=train, test=test, split=(0.5, 0.5, 0))
    assert [e.row for e in found.test] == [1, 2, 3, 4, 5, 6]
    assert len(found.train) + len(found.validation) == 40
    everything = prepared(train=train, test=test, split=(1, 0, 0))
    assert everything.facts["overlap"] == {"test": {"exact": 1, "near": 0}}
    assert any("of 6 rows of data.test, 1 also stand in data.train" in line for line in everything.said)
    with pytest.raises(UserError, match=r"data.validation holds the same rows as data.train"):
        prepared(train=train, validation=train)


def test_several_files_count_their_own_rows(tmp_path: Path) -> None:
    found = prepared(train=(pairs(tmp_path, 3, "a.jsonl"), pairs(tmp_path, 2, "b.jsonl")), split=(1, 0, 0))
    assert [e.row for e in found.train] == [1, 2, 3, 1, 2]


def test_prompts_without_a_template_are_joined_with_their_answers(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", [{"prompt": "hello", "completion": " cat"}])
    found = prepared(None, train=path, split=(1, 0, 0))
    assert spans(found.train[0], tokenizer(None)) == [("hello", False), (" cat</s>", True)]
    path = write(tmp_path / "e.jsonl", [{"instruction": "hello", "input": "you", "output": "cat"}])
    found = prepared(None, train=path, split=(1, 0, 0), system="Be kind.")
    context = "Be kind.\n\n### Instruction:\nhello\n\n### Input:\nyou\n\n### Response:\n"
    assert spans(found.train[0], tokenizer(None)) == [(context, False), ("cat</s>", True)]


def test_a_token_over_the_border_is_context(tmp_path: Path) -> None:
    """`miller` is one token of this tokenizer: cut in two by the columns, no part of it can be trained."""
    path = write(tmp_path / "d.jsonl", [{"prompt": "the mill", "completion": "er asked"}])
    found = prepared(None, train=path, split=(1, 0, 0))
    assert spans(found.train[0], tokenizer(None)) == [("the miller", False), (" asked</s>", True)]


def test_plain_text_is_all_trained_in_blocks_that_share_a_token(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(words(60))
    (tmp_path / "b.md").write_text("hello")
    found = prepared(None, train=str(tmp_path), split=(1, 0, 0), max_length=32)
    made = tokenizer(None)
    long = made((tmp_path / "a.txt").read_text(), add_special_tokens=False)["input_ids"] + [made.eos_token_id]
    blocks = found.train[:-1]
    assert len(blocks) > 2 and all(len(e) <= 32 and not e.trained[0] and all(e.trained[1:]) for e in blocks)
    assert [long[0]] + [t for e in blocks for t in e.tokens[1:]] == long
    assert found.test_items == [] and found.facts["cut_into_blocks"] == 1


def long_row(tmp_path: Path) -> str:
    rows = [{"prompt": "hello", "completion": "yes"}, {"prompt": "cat", "completion": words(80)}]
    return write(tmp_path / "d.jsonl", [*rows, {"prompt": words(80), "completion": "no"}])


def test_too_long_rows_are_refused_dropped_or_cut_and_counted(tmp_path: Path) -> None:
    path = long_row(tmp_path)
    with pytest.raises(UserError, match=r"d.jsonl, row 2: \d+ tokens where 60 fit; set data.too_long"):
        prepared(train=path, split=(1, 0, 0), max_length=60)
    with pytest.raises(UserError, match=r"tokens where 60 fit"):
        prepared(train=path, split=(1, 0, 0), context=60)
    dropped = prepared(train=path, split=(1, 0, 0), max_length=60, too_long="drop")
    assert [e.row for e in dropped.train] == [1]
    assert dropped.facts["dropped"] == {"too long": 2}
    cut = prepared(train=path, split=(1, 0, 0), max_length=60, too_long="truncate")
    assert [(e.row, len(e) <= 60, any(e.trained)) for e in cut.train] == [(1, True, True), (2, True, True)]
    assert cut.facts["truncated"] == 1
    assert cut.facts["dropped"] == {"nothing trained after truncation": 1}
    assert any("1 rows cut to 60 tokens" in line for line in cut.said)


def test_a_part_of_which_nothing_is_left_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no row of the train part is left: 40 dropped \(too long\)"):
        prepared(train=pairs(tmp_path), split=(1, 0, 0), max_length=5, too_long="drop")


def test_labelled_text_gives_way_to_its_question(labelled: str) -> None:
    whole = prepared(train=labelled)
    most = whole.facts["longest"]["tokens"] - 40
    found = prepared(train=labelled, max_length=most, too_long="truncate")
    assert found.facts["truncated"] > 0 and found.facts["dropped"] == {}
    made = tokenizer(SMOLLM)
    for example in found.train:
        text = "".join(piece for piece, _ in spans(example, made))
        assert len(example) <= most
        assert "Which label fits" in text and "Label:<|im_end|>" in text and text.endswith("<|im_end|>\n")


def test_a_length_beyond_the_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data.max_length: 500 is more than the 300 tokens"):
        prepared(train=pairs(tmp_path), max_length=500, context=300)


def test_the_tokenizers_own_length_counts_when_it_is_one(tmp_path: Path) -> None:
    made = tokenizer(CHATML)
    config = Data(train=pairs(tmp_path))
    assert prepare(config, made, context=None).facts["max_length"] is None
    made.model_max_length = 1000
    assert prepare(config, made, context=None).facts["max_length"] == 1000
    assert prepare(config, made, context=700).facts["max_length"] == 700


def test_what_a_template_does_is_said(tmp_path: Path) -> None:
    talk = [{"role": ("user", "assistant")[n % 2], "content": words(3)} for n in range(4)]
    path = write(tmp_path / "d.jsonl", [{"messages": talk}])
    found = prepared(QWEN3, train=path, split=(1, 0, 0))
    assert any("1 rows train only the last" in line for line in found.said)
    assert found.facts["last_turn_only"] == 1
    assert any(
        "end-of-text token is put behind the last" in line
        for line in prepared(ALPACA, train=path, split=(1, 0, 0)).said
    )


def test_a_share_is_of_the_training_part_alone_and_a_smaller_one_is_in_a_larger(labelled: str) -> None:
    whole, third, tenth = (prepared(train=labelled, split=(0.6, 0.2, 0.2), share=share) for share in (1.0, 0.3, 0.1))
    assert len(third.train) == round(0.3 * len(whole.train)) and len(tenth.train) == round(0.1 * len(whole.train))
    rows = [{example.row for example in found.train} for found in (whole, third, tenth)]
    assert rows[0] > rows[1] > rows[2]
    assert whole.test == third.test and whole.validation == tenth.validation
    assert any(line.startswith("data.share: ") for line in third.said) and "share" not in str(whole.said)
    with pytest.raises(ValueError, match=r"data\.share"):
        prepared(train=labelled, share=0.0)


def test_duplicates_are_counted_and_a_limit_is_said(tmp_path: Path) -> None:
    rows = [{"prompt": words(20), "completion": "yes"} for _ in range(30)]
    near = {**rows[0], "prompt": rows[0]["prompt"].upper()}
    found = prepared(train=write(tmp_path / "d.jsonl", [*rows, rows[1], near]))
    assert found.facts["duplicates"] == {"exact": 1, "near": 1}
    assert any("1 rows repeat another one, 1 more are near-duplicates" in line for line in found.said)
    few = prepared(train=str(tmp_path / "d.jsonl"), limit=10)
    assert sum(len(part) for part in (few.train, few.validation, few.test)) == 10
    assert any("10 of 32 rows are used" in line for line in few.said)


def test_a_label_that_only_the_test_file_has_is_refused_when_labels_are_named(labelled: str, tmp_path: Path) -> None:
    test = write(tmp_path / "t.jsonl", [{"text": "a", "label": "yess"}])
    with pytest.raises(UserError, match=r"t.jsonl, row 1: unknown label `yess`; did you mean `yes`"):
        prepared(train=labelled, test=test, labels=("yes", "no", "positive"))
    with pytest.raises(UserError, match=r"t.jsonl, row 1: unknown label `yess`"):
        prepared(train=labelled, test=test)


def test_a_hub_name_without_leave_is_refused() -> None:
    with pytest.raises(UserError, match="owner/name: no such file, and downloads are not allowed"):
        prepared(train="owner/name")


def test_a_tokenizer_without_offsets_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tokenizer(CHATML)
    monkeypatch.setattr(type(made), "is_fast", property(lambda _: False))
    with pytest.raises(UserError, match=r"no tokenizer.json"):
        prepare(Data(train=pairs(tmp_path)), made, context=None)
