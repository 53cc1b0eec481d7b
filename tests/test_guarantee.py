"""What a run with `train.privacy` promises, refuses and leaves."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.rows import write_labelled
from tunesmith import Recipe, UserError, run
from tunesmith.guarantee import KEY, counted, forget_key, noise_of
from tunesmith.report.document import RunResult
from tunesmith.show import Show
from tunesmith.train.config import Train

QUIET = {"noise_multiplier": 0.3}  # epsilon is so large that the bound is told, which is quick


def planned(**privacy: Any) -> Train:
    return Train(batch_size=10, epochs=2, privacy=privacy)


def test_the_plan_is_counted_before_the_run() -> None:
    found = counted(planned(**QUIET), 100)
    assert (found["sample_rate"], found["steps"], found["rows"]) == (0.1, 20, 100)
    assert found["delta"] == pytest.approx(0.001) and found["epsilon"] > 30
    assert counted(planned(noise_multiplier=0), 100)["epsilon"] is None
    assert counted(planned(**QUIET), 5)["sample_rate"] == 1


def test_a_wanted_epsilon_is_kept_to() -> None:
    pytest.importorskip("opacus", reason="needs the extra `privacy`")
    found = counted(planned(epsilon=4), 100)
    assert 3.8 < found["epsilon"] <= 4 and found["noise_multiplier"] > 0.3


def test_a_delta_that_allows_to_publish_a_row_is_refused() -> None:
    with pytest.raises(UserError, match=r"train.privacy.delta: 0.5 allows to publish one of 100 rows"):
        counted(planned(delta=0.5, **QUIET), 100)


def test_the_key_stays_until_training_ends(tmp_path: Path) -> None:
    found = counted(planned(**QUIET), 100)
    first, again = (noise_of(Train(), found, tmp_path) for _ in range(2))
    assert first == again and (tmp_path / KEY).stat().st_mode & 0o777 == 0o600
    forget_key(tmp_path)
    assert not (tmp_path / KEY).exists() and noise_of(Train(), found, tmp_path) != first
    open_ = counted(planned(reproducible=True, **QUIET), 100)
    assert noise_of(Train(seed=3), open_, None) == noise_of(Train(seed=3), open_, None)
    assert noise_of(Train(seed=3), open_, None) != noise_of(Train(seed=4), open_, None)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"train": {"privacy": {}}}, "give epsilon or noise_multiplier"),
        ({"train": {"privacy": {"epsilon": 3, "noise_multiplier": 1}}}, "give epsilon or noise_multiplier"),
        ({"train": {"privacy": {"epsilon": 3}, "learning_rate": "auto"}}, "train.learning_rate: auto trains"),
        ({"train": {"privacy": {"epsilon": 3}, "clip": 2.0}}, "set train.privacy.clip instead"),
        ({"train": {"privacy": {"epsilon": 3}}, "objective": "kto"}, "objective=kto cannot be bounded: it asks"),
        ({"train": {"privacy": {"epsilon": 3}}, "objective": "regress"}, "in standard units of all training rows"),
        ({"train": {"privacy": {"epsilon": 3}}, "objective": {"kind": "grpo", "reward": "exact"}}, "compares answers"),
        (
            {"train": {"privacy": {"epsilon": 3}}, "objective": {"kind": "classify", "weights": "balanced"}},
            "balanced weights follow",
        ),
        ({"train": {"privacy": {"epsilon": 3}}, "method": "eva"}, "method lora would begin with what training rows"),
        ({"train": {"privacy": {"epsilon": 3}}, "method": "prompt"}, "give method.text"),
        ({"train": {"privacy": {"epsilom": 3}}}, "did you mean `epsilon`"),
    ],
)
def test_what_cannot_be_bounded_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Recipe(data="rows.jsonl", **values)
    Recipe(data="rows.jsonl", train={"privacy": {"epsilon": 3}}, method={"kind": "prompt", "text": "own words"})


def test_a_private_run_tells_what_it_promises(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    rows = str(write_labelled(tmp_path / "rows.jsonl", random.Random(0), 40))
    train = {"max_steps": 3, "threads": 1, "precision": "float32", "learning_rate": 0.01, "privacy": QUIET}
    said: list[str] = []
    recipe = Recipe(
        base=str(tiny_folder("gpt2")), data=rows, output=str(tmp_path / "a"), train=train, evaluate={"enabled": False}
    )
    result = run(recipe, Show(said.append))
    assert result.status == "ok" and all(result.proof.values()) and result == RunResult.read(tmp_path / "a")
    assert result.privacy is not None and result.privacy.steps == 3 and not result.privacy.reproducible
    (promise,) = (line for line in said if line.startswith("privacy: epsilon"))
    assert said.index(promise) < next(i for i, line in enumerate(said) if line.startswith("base:"))
    assert any("validation rows choose" in line for line in said)
    assert not (tmp_path / "a" / KEY).exists(), "the key must not outlive the training"
    card, bom, page = ((tmp_path / "a" / name).read_text() for name in ("MODEL_CARD.md", "bom.json", "report.html"))
    assert "but for a chance of" in card and "tunesmith:privacy:epsilon" in bom and "but for a chance of" in page
