"""Whole runs over pairs and ratings on tiny bases: what is measured, that the reference is frozen, and resuming."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.stopping import Stopping
from tunesmith import Recipe, UserError, run
from tunesmith.core.errors import Interrupted
from tunesmith.objectives import OBJECTIVES
from tunesmith.show import Show
from tunesmith.tasks import reference

SMALL: dict[str, Any] = {"threads": 1, "precision": "float32", "learning_rate": 0.01, "max_steps": 8, "batch_size": 8}
COMPARING = [name for name, kind in OBJECTIVES.items() if kind.eats in ("pairs", "rated")]
WORDS = ("river", "stone", "mill", "bread", "rain", "gate", "hill", "cat")


@pytest.fixture
def pairs(tmp_path: Path) -> str:
    """The better answer is always the shorter one, in capitals."""
    draw, rows = random.Random(0), []
    for _ in range(80):
        words = draw.sample(WORDS, 3)
        rows.append({"prompt": f"Say {' '.join(words)}.", "chosen": words[0].upper(), "rejected": " ".join(words[1:])})
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "default_cache", lambda: tmp_path / "cache")


def _recipe(base: Path, data: str, output: Path, objective: Any, **more: Any) -> Recipe:
    values = {"train": SMALL, "evaluate": {"answers": 1, "answer_tokens": 4, "general": False}, **more}
    return Recipe(base=str(base), data=data, output=str(output), objective=objective, **values)


@pytest.mark.parametrize(
    ("name", "method"), [*((name, "lora") for name in COMPARING), ("dpo", "full"), ("kto", "prefix")]
)
def test_held_out_pairs_are_told_apart(
    tiny_folder: Callable[[str], Path], pairs: str, tmp_path: Path, name: str, method: str
) -> None:
    rate = {"lora": 0.01, "full": 0.003, "prefix": 0.1}[method]
    recipe = _recipe(
        tiny_folder("llama"), pairs, tmp_path / "run", name, method=method, train={**SMALL, "learning_rate": rate}
    )
    result = run(recipe, Show(lambda _: None))
    assert result.status == "ok" and result.objective == name and all(result.proof.values())
    assert result.evaluation is not None
    before, after = result.evaluation.before, result.evaluation.after
    if OBJECTIVES[name].eats == "rated":
        assert after["unwanted_loss"] - after["loss"] > before["unwanted_loss"] - before["loss"]
    else:
        assert after["preference_margin"] > before["preference_margin"]
        assert before["preference_accuracy"] < after["preference_accuracy"] >= 0.75
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert "accuracy" in lines[0] and any("validation_accuracy" in line for line in lines)
    if OBJECTIVES[name].refers and name != "kto":
        assert abs(lines[0]["margin"]) < 1e-4  # nothing has moved from the reference


def test_the_reference_is_read_once(
    tiny_folder: Callable[[str], Path], pairs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    scored = reference._scored
    monkeypatch.setattr(reference, "_scored", lambda *given: calls.append(1) or scored(*given))
    for number in range(2):
        recipe = _recipe(tiny_folder("gpt2"), pairs, tmp_path / str(number), "dpo", train={**SMALL, "epochs": 3})
        run(recipe, Show(lambda _: None))
    assert calls == [1]
    first, second = (tmp_path / str(number) / "metrics.jsonl" for number in range(2))
    assert first.read_bytes() == second.read_bytes()
    (file,) = (tmp_path / "cache" / "reference").iterdir()
    file.write_bytes(file.read_bytes()[:40])  # damaged: it is made again
    run(_recipe(tiny_folder("gpt2"), pairs, tmp_path / "2", "dpo", train={**SMALL, "epochs": 3}), Show(lambda _: None))
    assert calls == [1, 1] and (tmp_path / "2" / "metrics.jsonl").read_bytes() == first.read_bytes()


@pytest.mark.parametrize("name", ["dpo", "kto"])
def test_an_interrupted_run_goes_on_to_the_same_bytes(
    tiny_folder: Callable[[str], Path], pairs: str, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lora = {"kind": "lora", "dropout": 0.1}
    whole = _recipe(tiny_folder("llama"), pairs, tmp_path / "whole", name, method=lora)
    run(whole, Show(lambda _: None))
    cut = whole.model_copy(update={"output": str(tmp_path / "cut")})

    with pytest.raises(Interrupted):
        run(cut, Stopping(lambda _: None))
    run(cut, Show(lambda _: None))
    for file in ("metrics.jsonl", "adapter/adapter_model.safetensors", "items.jsonl"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "cut" / file).read_bytes()


def test_the_rate_follows_the_objective(tiny_folder: Callable[[str], Path], pairs: str, tmp_path: Path) -> None:
    train = {key: value for key, value in SMALL.items() if key != "learning_rate"}
    said: list[str] = []
    result = run(_recipe(tiny_folder("llama"), pairs, tmp_path / "run", "dpo", train=train), Show(said.append))
    assert result.chosen["train.learning_rate"].value == pytest.approx(2e-5)
    assert any("times 0.1 for dpo" in line for line in said)


def test_rates_are_tried_on_the_objective(tiny_folder: Callable[[str], Path], pairs: str, tmp_path: Path) -> None:
    train = {**SMALL, "learning_rate": "auto", "max_steps": 4}
    result = run(_recipe(tiny_folder("llama"), pairs, tmp_path / "run", "dpo", train=train), Show(lambda _: None))
    tried = result.chosen["train.learning_rate"].tried
    assert tried is not None and tried[0].loss == pytest.approx(0.6931, abs=1e-3)  # -log s(0), before training


def test_an_objective_that_there_is_not() -> None:
    with pytest.raises(UserError, match=r"objective.kind: no objective is called `dop`; did you mean `dpo`"):
        Recipe(data="x", objective="dop")
    with pytest.raises(UserError, match=r"objective.bta: not a field of DPO; did you mean `beta`"):
        Recipe(data="x", objective={"kind": "dpo", "bta": 1})
    with pytest.raises(UserError, match=r"robust needs the share"):
        Recipe(data="x", objective={"kind": "dpo", "formula": "robust"})


def test_strangers_have_another_prompt(tiny_folder: Callable[[str], Path]) -> None:
    from tunesmith.core.answers import tree
    from tunesmith.core.batch import Example
    from tunesmith.streams.answers import moved, strangers

    rows = [([1, 2], [5]), ([1, 2], [6, 6]), ([3], [7, 8])]
    trees = [tree([Example([*p, *a], [False] * len(p) + [True] * len(a), 0)], wanted=(True,)) for p, a in rows]
    found = [strangers(trees, 100)[id(t)] for t in trees]
    assert [list(one.tokens) for one in found] == [[1, 2, 7, 8], [1, 2, 7, 8], [3, 5]]
    assert list(strangers(trees, 3)[id(trees[0])].tokens) == [1, 2, 7]
    assert moved(found, lambda _: (-2.0,), lambda some: [(-1.5,) for _ in some]) == 0.5
    assert moved(found, lambda _: (-2.0,), lambda some: [(-9.0,) for _ in some]) == 0.0
