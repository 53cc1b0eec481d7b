"""Whole runs from rewards on a tiny base: what rises, what is written, resuming to the byte, and what is refused."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tests.stopping import Stopping
from tunesmith import Recipe, UserError, run
from tunesmith.core.errors import Interrupted
from tunesmith.show import Show

SMALL: dict[str, Any] = {"threads": 1, "precision": "float32", "learning_rate": 0.01, "max_steps": 6, "batch_size": 4}
VOWELS = "def vowels(prompt, answer, row):\n    return sum(c in 'aeiou' for c in answer) / 6\n"
Folder = Callable[[str], Path]


@pytest.fixture
def rows(tmp_path: Path) -> str:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"say {i}", "answer": str(i)}) + "\n" for i in range(80)))
    return str(path)


@pytest.fixture
def reward(tmp_path: Path) -> str:
    (tmp_path / "my.py").write_text(VOWELS)
    return f"{tmp_path}/my.py:vowels"


def _recipe(base: Path, data: str, output: Path, objective: dict[str, Any], **more: Any) -> Recipe:
    objective = {"answers": 4, "answer_tokens": 6, **objective}
    train = {**SMALL, **more.pop("train", {})}
    evaluate = {"answers": 1, "answer_tokens": 4, "general": False}
    return Recipe(
        base=str(base), data=data, output=str(output), objective=objective, train=train, evaluate=evaluate, **more
    )


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("objective", "method"),
    [
        ({"kind": "grpo"}, "lora"),
        ({"kind": "grpo", "variant": "dapo"}, "full"),
        ({"kind": "rloo"}, "lora"),
        ({"kind": "ppo", "updates": 2}, "lora"),
    ],
    ids=str,
)
def test_the_reward_rises(
    tiny_folder: Folder, rows: str, reward: str, tmp_path: Path, objective: dict[str, Any], method: str
) -> None:
    rate = {"lora": 0.02, "full": 0.002}[method]
    folder = tmp_path / "run"
    recipe = _recipe(
        tiny_folder("llama"),
        rows,
        folder,
        {**objective, "reward": {reward: 1.0, "length:1-9": 0.01}},
        method=method,
        train={"learning_rate": rate},
    )
    result = run(recipe, Show(lambda _: None))
    assert result.status == "ok" and all(result.proof.values())
    assert result.evaluation is not None and result.train is not None
    assert result.evaluation.after["reward"] > result.evaluation.before["reward"] and result.evaluation.n == 10
    assert set(result.evaluation.before) == {"reward"}
    assert 0 < (result.train.rollout_seconds or 0) < result.train.seconds

    metrics = _lines(folder / "metrics.jsonl")
    steps = [line for line in metrics if "loss" in line]
    assert steps[0]["kl"] == pytest.approx(0, abs=1e-6) and steps[-1]["kl"] > 1e-4  # the base did not move with it
    assert steps[0]["moved"] == steps[0]["clipped"] == 0 and steps[0]["sampler_gap"] < 1e-4
    assert {f"reward/{reward}", "reward/length:1-9", "entropy", "answer_length", "ended"} <= set(steps[0])
    assert any("validation_reward" in line for line in metrics)
    assert any("validation reward" in line for line in result.notes)

    samples = _lines(folder / "samples.jsonl")
    assert len({s["step"] for s in samples}) == 3 and {"prompt", "answer", "reward", "row"} <= set(samples[0])
    mine = json.loads((folder / "data.json").read_text())["reward"][0]
    assert mine["sha256"] == hashlib.sha256(VOWELS.encode()).hexdigest() and mine["weight"] == 1.0
    page = (folder / "report.html").read_text()
    assert mine["sha256"][:12] in page and "Answers over time" in page

    valued = folder / "value_head.safetensors"
    assert valued.exists() == (objective["kind"] == "ppo")
    if valued.exists():
        assert set(load_file(valued)) == {"weight", "bias"} and load_file(valued)["weight"].any()
        assert not [name for name in load_file(folder / "adapter" / "adapter_model.safetensors") if "value" in name]


FILES = ("metrics.jsonl", "adapter/adapter_model.safetensors", "value_head.safetensors", "items.jsonl", "samples.jsonl")
KILLED = """
import os, signal, sys
from tunesmith.recipe import read_recipe
from tunesmith.run import run
from tunesmith.show import Show
from pathlib import Path

class Dying(Show):
    def training(self, steps):
        made = super().training(steps)
        hear = made.hear
        def heard(event):
            hear(event)
            if event.kind == "step" and event.step == 5:
                os.kill(os.getpid(), signal.SIGKILL)
        made.hear = heard
        return made

run(read_recipe(Path(sys.argv[1])), Dying(lambda _: None))
"""


def test_a_killed_run_goes_on_to_the_same_bytes(tiny_folder: Folder, rows: str, reward: str, tmp_path: Path) -> None:
    """It dies in the middle of three updates by the same answers, behind a checkpoint between them."""
    objective = {"kind": "ppo", "updates": 3, "reward": reward}
    lora = {"kind": "lora", "dropout": 0.1}
    train = {"max_steps": 8, "checkpoint_every": 2, "evaluate_every": 4}
    whole = _recipe(tiny_folder("llama"), rows, tmp_path / "whole", objective, method=lora, train=train)
    run(whole, Show(lambda _: None))
    cut = whole.model_copy(update={"output": str(tmp_path / "cut")})
    (tmp_path / "cut.yaml").write_text(cut.dumped())
    died = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "cut.yaml")], env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert died.returncode == -signal.SIGKILL
    assert not (tmp_path / "cut" / "result.json").exists()
    result = run(cut, Show(lambda _: None))
    assert any("step 4: going on" in line for line in result.notes)
    for file in FILES:
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "cut" / file).read_bytes(), file
    sampled = [sorted((tmp_path / name / "rollouts").iterdir())[-1].read_bytes() for name in ("whole", "cut")]
    assert sampled[0] == sampled[1]


def test_an_interrupted_run_goes_on_to_the_same_bytes(tiny_folder: Folder, rows: str, tmp_path: Path) -> None:
    """With other prompts drawn where answers are all worth the same."""
    (tmp_path / "coarse.py").write_text("def coarse(prompt, answer, row):\n    return float('e' in answer)\n")
    objective = {"kind": "grpo", "variant": "dapo", "answers": 2, "reward": f"{tmp_path}/coarse.py:coarse"}
    whole = _recipe(tiny_folder("llama"), rows, tmp_path / "whole", objective)
    run(whole, Show(lambda _: None))
    assert any(line.get("redrawn", 0) > 0 for line in _lines(tmp_path / "whole" / "metrics.jsonl"))
    cut = whole.model_copy(update={"output": str(tmp_path / "cut")})

    with pytest.raises(Interrupted):
        run(cut, Stopping(lambda _: None))
    run(cut, Show(lambda _: None))
    for file in set(FILES) - {"value_head.safetensors"}:
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "cut" / file).read_bytes(), file


# What is refused


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 1 / 0", r"row \d+: the reward `.*` raised ZeroDivisionError"),
        ("return float('nan')", r"row \d+: the reward `.*` returned nan"),
        ("while True: pass", r"row \d+: the reward `.*` took more than 0.5 s"),
    ],
)
def test_a_reward_that_fails_leaves_no_half_written_run(
    tiny_folder: Folder, rows: str, tmp_path: Path, body: str, message: str
) -> None:
    (tmp_path / "bad.py").write_text(f"def bad(prompt, answer, row):\n    {body}\n")
    objective = {"kind": "grpo", "reward": f"{tmp_path}/bad.py:bad", "reward_seconds": 0.5}
    with pytest.raises(UserError, match=message):
        run(_recipe(tiny_folder("llama"), rows, tmp_path / "run", objective), Show(lambda _: None))
    assert not (tmp_path / "run").exists() or not any((tmp_path / "run").iterdir())


@pytest.mark.parametrize(
    ("objective", "train", "message"),
    [
        ({"kind": "grpo"}, {}, r"objective.reward: field required"),
        ({"kind": "grpo", "reward": "exactly"}, {}, r"`exactly` is no verifier.*did you mean `exact`"),
        ({"kind": "grpo", "reward": "exact", "answers": 1}, {}, r"objective.answers"),
        ({"kind": "grpo", "reward": "exact", "answer_tokens": 250}, {}, r"row \d+: the prompt has \d+ tokens and its"),
        ({"kind": "grpo", "reward": "exact"}, {"learning_rate": "auto"}, r"train.learning_rate: auto compares losses"),
        ({"kind": "ppo", "reward": "nowhere.py:f"}, {}, r"nowhere.py: no such file"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_loaded(
    tiny_folder: Folder, rows: str, tmp_path: Path, objective: dict[str, Any], train: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        run(_recipe(tiny_folder("llama"), rows, tmp_path / "run", objective, train=train), Show(lambda _: None))
    assert not (tmp_path / "run").exists()


def test_rows_that_the_reward_cannot_judge_are_named(tiny_folder: Folder, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    answers = [str(i) if i != 6 else "many" for i in range(40)]
    path.write_text("".join(json.dumps({"prompt": f"say {i}", "answer": a}) + "\n" for i, a in enumerate(answers)))
    with pytest.raises(UserError, match=r"row 7: the reward `number` cannot judge it: .* holds no number"):
        run(_recipe(tiny_folder("llama"), str(path), tmp_path / "run", {"kind": "grpo", "reward": "number"}), Show(str))


def test_another_reward_file_is_another_run(tiny_folder: Folder, rows: str, reward: str, tmp_path: Path) -> None:
    recipe = _recipe(tiny_folder("llama"), rows, tmp_path / "run", {"kind": "grpo", "reward": reward})
    run(recipe, Show(lambda _: None))
    (tmp_path / "run" / "result.json").unlink()
    (tmp_path / "my.py").write_text(VOWELS + "\n")
    with pytest.raises(UserError, match=r"its checkpoints were made with another reward"):
        run(recipe, Show(lambda _: None))


def test_a_reward_model_judges(tiny_folder: Folder, rows: str, tmp_path: Path) -> None:
    """The chain: a reward model from pairs, then RL against it. It was trained on another base than the policy."""
    pairs = tmp_path / "pairs.jsonl"
    lines = ({"prompt": f"say {i}", "chosen": "eeee", "rejected": "qzqz"} for i in range(60))
    pairs.write_text("".join(json.dumps(line) + "\n" for line in lines))
    judge, folder = tmp_path / "judge", tmp_path / "run"
    evaluate = {"general": False, "answers": 0}
    base = str(tiny_folder("qwen2"))
    made = {"output": str(judge), "objective": "reward", "train": SMALL, "evaluate": evaluate}
    run(Recipe(base=base, data=str(pairs), **made), Show(lambda _: None))
    objective = {"kind": "rloo", "reward": {str(judge): 1.0, "length:1-9": 0.1}}
    result = run(_recipe(tiny_folder("llama"), rows, folder, objective), Show(lambda _: None))
    assert result.status == "ok" and result.evaluation is not None
    assert f"reward/{judge}" in _lines(folder / "metrics.jsonl")[0]
    mine = json.loads((folder / "data.json").read_text())["reward"][0]
    weights = judge / "adapter" / "adapter_model.safetensors"
    assert mine["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    with pytest.raises(UserError, match=r"writes text and scores none"):
        run(_recipe(tiny_folder("llama"), rows, tmp_path / "x", {"kind": "grpo", "reward": str(folder)}), Show(str))
