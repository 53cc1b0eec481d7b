"""`tunesmith predict` and `load_scorer`: what a run says of texts, and what is refused."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from tunesmith import Recipe, UserError, load, load_scorer, run
from tunesmith.bases import load_base
from tunesmith.cli.app import app
from tunesmith.core.headed import Head
from tunesmith.export.adapter import adapter_head
from tunesmith.merge import merge
from tunesmith.show import Show

TRAIN: dict[str, Any] = {"threads": 1, "precision": "float32", "learning_rate": 0.01, "max_steps": 20, "batch_size": 8}


@pytest.fixture(scope="module")
def trained(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with finished runs: `classes` (with a template) and `rewards`."""
    root, draw = tmp_path_factory.mktemp("predict"), random.Random(0)
    rows = [{"text": f"{n} {draw.choice(['rain', 'bread'])}", "who": "cat"} for n in range(60)]
    rows = [row | {"label": "bad" if "rain" in row["text"] else "good"} for row in rows]
    pairs = [{"prompt": f"Which, {n}?", "chosen": "bread", "rejected": "rain"} for n in range(60)]
    made: dict[str, tuple[list[dict[str, Any]], dict[str, Any], str]] = {
        "classes": (rows, {"template": "{who}: {text}"}, "classify"),
        "rewards": (pairs, {}, "reward"),
    }
    for name, (values, data, objective) in made.items():
        path = root / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in values))
        recipe = Recipe(
            base=str(tiny_folder("llama")), data={"train": str(path), **data}, objective=objective, train=TRAIN,
            output=str(root / name), evaluate={"enabled": False},
        )  # fmt: skip
        assert run(recipe, Show(lambda _: None)).status == "ok"
    return root


def _invoke(*words: str) -> str:
    done = CliRunner().invoke(app, ["predict", *words])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_labels_come_with_their_probabilities(trained: Path, tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text('{"text": "7 rain", "who": "cat"}\n{"text": "8 bread", "who": "cat"}\n')
    lines = [
        json.loads(line) for line in _invoke(str(trained / "classes"), "--input", str(source), "--json").splitlines()
    ]
    assert [line["label"] for line in lines] == ["bad", "good"]
    assert all(abs(sum(line["probabilities"].values()) - 1) < 1e-6 for line in lines)
    assert lines[0]["text"] == "7 rain"
    shown = _invoke(str(trained / "classes"), "--input", str(source))
    assert shown.splitlines()[0].startswith("bad ") and "7 rain" in shown
    again = load_scorer(trained / "classes").score([{"text": "7 rain", "who": "cat"}])
    assert again[0]["probabilities"] == pytest.approx(lines[0]["probabilities"])


def test_rewards_of_answers(trained: Path, tmp_path: Path) -> None:
    scorer = load_scorer(trained / "rewards")
    good, bad = scorer.rewards([("Which, 99?", "bread"), ("Which, 99?", "rain")])
    assert good > bad
    source = tmp_path / "rows.jsonl"
    source.write_text('{"prompt": "Which, 99?", "completion": "bread"}\n')
    (line,) = _invoke(str(trained / "rewards"), "--input", str(source), "--json").splitlines()
    assert json.loads(line)["reward"] == pytest.approx(good)


def test_merged_it_is_a_plain_model_with_its_head(trained: Path, tmp_path: Path) -> None:
    adapter = trained / "classes" / "adapter"
    head = adapter_head(adapter)
    assert isinstance(head, Head)

    def opened(dtype: torch.dtype) -> Any:
        name = json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"]
        return load_base(name, dtype=dtype, say=lambda _: None, head=head)

    merge(opened, adapter, tmp_path / "merged")
    rows = [{"text": "7 rain"}, {"text": "8 bread"}]
    one, other = (load_scorer(place).score(rows) for place in (adapter, tmp_path / "merged"))
    assert [o["label"] for o in one] == [o["label"] for o in other]
    for first, second in zip(one, other, strict=True):
        assert first["probabilities"] == pytest.approx(second["probabilities"], abs=1e-5)


def test_what_does_not_fit_is_refused_in_a_sentence(trained: Path, tiny_folder: Callable[[str], Path]) -> None:
    for place in (trained / "classes", trained / "classes" / "adapter"):
        with pytest.raises(UserError, match="scores texts and writes none; use `tunesmith predict`"):
            load(place)
    with pytest.raises(UserError, match="writes text and scores none; use generate"):
        load_scorer(tiny_folder("llama"))
    with pytest.raises(UserError, match="reads a prompt with its answer"):
        load_scorer(trained / "rewards").score(["x"])
    with pytest.raises(UserError, match="no reward model"):
        load_scorer(trained / "classes").rewards([("x", "y")])
    with pytest.raises(UserError, match=r"data\.template: .* has no column `who`"):
        load_scorer(trained / "classes").score(["x"])
