"""Every recipe that ships parses and trains two steps on a tiny base, on a few rows of the kind that it is for."""

import json
from pathlib import Path

import pytest

from tests.painters import tiny_pipeline
from tunesmith.recipe import make_recipe, read_recipe
from tunesmith.run import run
from tunesmith.show import Show

ROOT = Path(__file__).parents[2]
FILES = sorted([*ROOT.glob("recipes/*.yaml"), *ROOT.glob("src/tunesmith/recipes/*.yaml")])
KNOWN = 14

ROWS = {
    "messages": lambda i: {
        "messages": [{"role": "user", "content": f"question {i}"}, {"role": "assistant", "content": f"answer {i * 7}"}]
    },
    "labelled": lambda i: {"text": f"text number {i * i}", "label": "odd" if i % 2 else "even"},
    "preference": lambda i: {"prompt": f"question {i}", "chosen": f"answer {i * 7}", "rejected": f"no {i} idea"},
    "rated": lambda i: {"prompt": f"question {i}", "completion": f"answer {i * 7}", "label": i % 2 == 0},
    "prompt": lambda i: {"prompt": f"question {i}", "answer": str(i)},
    "text": lambda i: {"text": f"A paragraph of its own, number {i}, on the square {i * i}. " * 5},
}


def test_none_is_overlooked():
    assert len(FILES) == KNOWN, [f.name for f in FILES]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_it_trains_two_steps(path, tiny_folder, tmp_path, monkeypatch):
    recipe = read_recipe(path)
    if recipe.objective.eats == "pictures":
        _paints_two_steps(path, recipe, tmp_path, monkeypatch)
        return
    kind = recipe.data.format if recipe.data.format != "auto" else "labelled"
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(ROWS[kind](i)) + "\n" for i in range(60)))
    values = recipe.model_dump() | {"base": str(tiny_folder("llama")), "output": str(tmp_path / "run")}
    values["data"] |= {"train": str(rows), "max_length": 128}
    values["train"] |= {"batch_size": 8}
    values["train"] |= {"max_steps": 2, "threads": 1, "precision": "float32", "patience": None}
    values["evaluate"] |= {
        "answers": 1,
        "score_answers": min(1, values["evaluate"]["score_answers"]),
        "answer_tokens": 4,
    }
    if values["method"]["kind"] == "lora":
        values["method"]["rank"] = 4
    if "reward" in values["objective"]:  # a tiny random base answers nothing right
        values["objective"] |= {"reward": "regex:[a-h]", "answers": 4, "answer_tokens": 4}
    result = run(make_recipe(values), Show(lambda line: None))
    assert result.status == "ok" and result.train.steps == 2
    assert all(result.proof.values())


def _paints_two_steps(path, recipe, tmp_path, monkeypatch):
    """With the pictures that it names; the encoder that judges is not there, which is said."""
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    values = recipe.model_dump() | {
        "base": str(tiny_pipeline("sd-v", tmp_path / "base")),
        "output": str(tmp_path / "run"),
    }
    values["train"] |= {"max_steps": 2, "threads": 1, "precision": "float32"}
    values["evaluate"] |= {"pictures": 1, "picture_steps": 1, "prompts": values["evaluate"]["prompts"][:1]}
    values["method"]["rank"] = 4
    result = run(make_recipe(values), Show(lambda line: None))
    assert result.status == "ok" and result.train.steps == 2 and all(result.proof.values())
    assert not result.fidelity and any("bases --get efficientnet-lite0" in note for note in result.notes)
