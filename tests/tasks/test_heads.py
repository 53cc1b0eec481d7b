"""Whole runs of networks that end in scores, on tiny bases: they learn, are proven, and refuse what cannot be."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, AutoModelForSequenceClassification

from tests.families import ENCODERS, tiny_tokenizer
from tunesmith import Recipe, UserError, run
from tunesmith.core.headed import Head, Scale
from tunesmith.export.adapter import adapter_head
from tunesmith.models.classes import folder_head
from tunesmith.opening import open_source
from tunesmith.show import Show

SMALL: dict[str, Any] = {"threads": 1, "precision": "float32", "learning_rate": 0.01, "max_steps": 30, "batch_size": 8}
MOOD = {"good": ("bread", "river", "mill"), "bad": ("rain", "cat"), "fair": ("stone", "hill")}


def _write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def moods(tmp_path: Path) -> str:
    """The label is told by the words of the text."""
    draw, rows = random.Random(0), []
    for number in range(120):
        label = draw.choice(["good", "good", "bad", "fair"])
        rows.append({"text": f"{number}: {' '.join(draw.choices(MOOD[label], k=3))}", "label": label})
    return _write(tmp_path / "moods.jsonl", rows)


@pytest.fixture
def numbers(tmp_path: Path) -> str:
    """The number is 100 for each cat."""
    draw, rows = random.Random(0), []
    for number in range(120):
        words = draw.choices(("cat", "river"), k=4)
        rows.append({"text": f"{number}: {' '.join(words)}", "label": 1000.5 + 100 * words.count("cat")})
    return _write(tmp_path / "numbers.jsonl", rows)


@pytest.fixture
def pairs(tmp_path: Path) -> str:
    draw, rows = random.Random(0), []
    for number in range(120):
        one, other = draw.choice(MOOD["good"]), draw.choice(MOOD["bad"])
        rows.append({"prompt": f"Question {number}?", "chosen": one, "rejected": other, "margin": 0.1})
    return _write(tmp_path / "pairs.jsonl", rows)


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoder") / "bert"
    torch.manual_seed(0)
    AutoModel.from_config(ENCODERS["bert"]()).save_pretrained(path)
    tiny_tokenizer(chat=False).save_pretrained(path)
    return path


def _recipe(base: Path, data: str, output: Path, objective: Any, **more: Any) -> Recipe:
    values = {"train": SMALL, **more}
    return Recipe(base=str(base), data=data, output=str(output), objective=objective, **values)


@pytest.fixture
def base(request: pytest.FixtureRequest, tiny_folder: Callable[[str], Path], tiny_bert: Path) -> Path:
    return tiny_bert if request.param == "bert" else tiny_folder(request.param)


ways = pytest.mark.parametrize(
    ("base", "method"), [("llama", "lora"), ("gpt2", "full"), ("bert", "lora"), ("bert", "full")], indirect=["base"]
)


def _rate(method: str) -> dict[str, Any]:
    return {**SMALL, "learning_rate": 0.002 if method == "full" else 0.01}


@ways
def test_labels_are_learned(base: Path, method: str, moods: str, tmp_path: Path) -> None:
    said: list[str] = []
    recipe = _recipe(base, moods, tmp_path / "run", "classify", method=method, train=_rate(method))
    result = run(recipe, Show(said.append))
    assert result.status == "ok" and all(result.proof.values())
    assert result.evaluation is not None
    before, after = result.evaluation.before, result.evaluation.after
    assert {"accuracy", "macro_f1", "loss", "brier", "ece"} <= set(after)
    assert before["accuracy"] < 0.8 < after["accuracy"] and after["brier"] < before["brier"]
    document = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert sum(part["items"] for part in document["calibration"]["after"]) == result.evaluation.n
    assert document["calibration"]["with_temperature"]["temperature"] > 0
    assert document["majority"] >= 1 / 3 and document["confusion"]["labels"] == ["bad", "fair", "good"]
    line = json.loads((tmp_path / "run" / "items.jsonl").read_text().splitlines()[0])
    assert abs(sum(line["tuned"]["probabilities"]) - 1) < 1e-5
    assert any("random numbers from seed 0" in one for one in said)
    if method == "full":
        head = folder_head(tmp_path / "run" / "model")
        whole: Any = AutoModelForSequenceClassification.from_pretrained(tmp_path / "run" / "model")
        assert whole.config.id2label == {0: "bad", 1: "fair", 2: "good"}
    else:
        head = adapter_head(tmp_path / "run" / "adapter")
    assert head is not None and head.labels == ("bad", "fair", "good")


@ways
def test_numbers_are_learned_in_their_own_unit(base: Path, method: str, numbers: str, tmp_path: Path) -> None:
    recipe = _recipe(
        base, numbers, tmp_path / "run", "regress", method=method, train={**_rate(method), "max_steps": 60}
    )
    result = run(recipe, Show(lambda _: None))
    assert result.evaluation is not None and all(result.proof.values())
    before, after = result.evaluation.before, result.evaluation.after
    assert {"mae", "rmse", "r2", "spearman"} == set(after)
    assert after["mae"] < before["mae"] and after["r2"] > 0.3
    line = json.loads((tmp_path / "run" / "items.jsonl").read_text().splitlines()[0])
    assert 900 < line["tuned"]["value"] < 1500 and line["value"] >= 1000.5
    head = folder_head(tmp_path / "run" / "model") if method == "full" else adapter_head(tmp_path / "run" / "adapter")
    assert isinstance(head, Head) and head.scale != Scale() and 1100 < head.scale.mean < 1300


@ways
def test_the_better_answer_gets_the_higher_reward(base: Path, method: str, pairs: str, tmp_path: Path) -> None:
    objective = {"kind": "reward", "center": 0.01}
    recipe = _recipe(base, pairs, tmp_path / "run", objective, method=method, train=_rate(method))
    result = run(recipe, Show(lambda _: None))
    assert result.evaluation is not None and all(result.proof.values())
    assert set(result.evaluation.after) == {"preference_accuracy", "preference_margin"}
    assert result.evaluation.after["preference_accuracy"] > 0.9


def test_rare_labels_can_weigh_the_same(tiny_folder: Callable[[str], Path], moods: str, tmp_path: Path) -> None:
    losses = []
    for weights in ("none", "balanced"):
        objective = {"kind": "classify", "weights": weights, "label_smoothing": 0.1}
        run(_recipe(tiny_folder("llama"), moods, tmp_path / weights, objective), Show(lambda _: None))
        losses.append(json.loads((tmp_path / weights / "metrics.jsonl").read_text().splitlines()[0])["loss"])
    assert losses[0] != losses[1]


def _refused(match: str, base: Path, data: str, output: Path, objective: Any, **more: Any) -> None:
    with pytest.raises(UserError, match=match) as caught:
        run(_recipe(base, data, output, objective, **more), Show(lambda _: None))
    assert "\n" not in str(caught.value)
    assert not output.exists()


def test_what_cannot_be_is_refused(tiny_folder: Callable[[str], Path], tiny_bert: Path, moods: str, tmp_path: Path):
    llama, out = tiny_folder("llama"), tmp_path / "run"
    _refused("cannot be a language|no causal language model; it can classify", tiny_bert, moods, out, "sft")
    _refused("puts virtual tokens before the text", tiny_bert, moods, out, "classify", method="prompt")
    _refused("`label` must be a number for objective=regress, not 'good'|not '", llama, moods, out, "regress")
    _refused("looks like labelled, which feeds objective=", llama, moods, out, "reward")
    rows = [{"text": f"text {n}", "label": 3.5} for n in range(30)]
    _refused("every row has the number 3.5", llama, _write(tmp_path / "same.jsonl", rows), out, "regress")
    rows[7]["label"] = "nan"
    _refused(r"row 8: `label` must be a number", llama, _write(tmp_path / "nan.jsonl", rows), out, "regress")
    _refused("whole number", llama, _write(tmp_path / "text.jsonl", rows), out, "classify")
    data = {"train": moods, "labels": ["good", "bad"]}
    _refused(r"row \d+: unknown label `fair`", llama, data, out, "classify")
    data = {"train": moods, "system": "Be kind."}
    _refused(r"^data\.system: a head reads the text alone", llama, data, out, "classify")


def test_long_texts_are_cut_at_their_end(tiny_folder: Callable[[str], Path], moods: str, tmp_path: Path) -> None:
    data = {"train": moods, "max_length": 8}
    _refused("tokens where 8 fit", tiny_folder("llama"), data, tmp_path / "run", "classify")
    said: list[str] = []
    recipe = _recipe(tiny_folder("llama"), {**data, "too_long": "truncate"}, tmp_path / "run", "classify")
    assert run(recipe, Show(said.append)).status == "ok"
    assert any("rows cut to 8 tokens" in line for line in said)


def test_of_a_long_text_the_question_behind_it_is_kept(
    tiny_folder: Callable[[str], Path], moods: str, tmp_path: Path
) -> None:
    data = {"train": moods, "max_length": 14, "too_long": "truncate", "template": "{text} rain hill"}
    recipe = _recipe(tiny_folder("llama"), data, tmp_path / "run", "classify")
    source = open_source(recipe, lambda _: None)
    rows = [list(example.tokens) for example in source.prepared.train]
    behind = list(source.tokenizer(" rain hill", add_special_tokens=False)["input_ids"])
    assert source.prepared.facts["truncated"] > 0 and max(map(len, rows)) <= 14
    assert all(row[-len(behind) :] == behind for row in rows)
    full = {**data, "template": "{text} " + "rain " * 20}
    _refused("14 tokens fit, and data.template alone", tiny_folder("llama"), full, tmp_path / "full", "classify")
