"""A learning rate of `auto`: what is chosen, that it is chosen once, and that the run is the one with that number."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.rows import write_labelled
from tunesmith import Recipe, RunFailed, UserError, run
from tunesmith.core.errors import Interrupted
from tunesmith.methods.lora import LoRA
from tunesmith.plan import plan
from tunesmith.probing import rates
from tunesmith.probing.choice import Trial, best
from tunesmith.probing.rates import KEY, rates_around
from tunesmith.show import Show

FolderOf = Callable[[str], Path]
SMALL: dict[str, Any] = {
    "train": {"max_steps": 20, "threads": 1, "precision": "float32", "learning_rate": "auto", "evaluate_every": 10},
    "evaluate": {"enabled": False},
}


@pytest.fixture
def recipe(tiny_folder: FolderOf, tmp_path: Path) -> Recipe:
    data = str(write_labelled(tmp_path / "rows.jsonl", random.Random(0), 60))
    return Recipe(base=str(tiny_folder("llama")), data=data, output=str(tmp_path / "auto"), **SMALL)


def test_among_absurd_rates_the_good_one_is_found_and_told(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LoRA, "learning_rate", property(lambda self: 0.01))
    monkeypatch.setattr(rates, "rates_around", lambda rate: rates_around(rate, (1e-6, 1.0, 1000.0)))
    said: list[str] = []
    result = run(recipe, Show(said.append))
    chosen = result.chosen["train.learning_rate"]
    assert chosen.value == 0.01
    assert "3 rates tried for 4 steps each (12 steps in all)" in chosen.reason
    assert chosen.tried is not None and [one.rate for one in chosen.tried] == [0.0, 1e-8, 0.01, 10.0]
    assert sum("learning rate" in line and "validation loss" in line for line in said) == 4
    page = (tmp_path / "auto" / "report.html").read_text()
    assert "What was tried for train.learning_rate" in page and "before training" in page

    number = recipe.model_dump() | {"output": str(tmp_path / "number")}
    number["train"]["learning_rate"] = 0.01
    same = run(Recipe(**number), Show(said.append))
    assert same.artifact == result.artifact, "trying rates leaves no trace in the run"
    assert (tmp_path / "number/metrics.jsonl").read_bytes() == (tmp_path / "auto/metrics.jsonl").read_bytes()


def test_a_resumed_run_does_not_try_again(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tunesmith.stages.fit", stop)
        with pytest.raises(Interrupted):
            run(recipe, Show(lambda line: None))
    kept = json.loads((tmp_path / "auto" / "choices.json").read_text())["train.learning_rate"]
    monkeypatch.setattr(rates, "Probe", stop)
    result = run(recipe, Show(lambda line: None))
    assert result.chosen["train.learning_rate"].value == kept["value"]


def test_without_validation_rows_it_is_refused(recipe: Recipe) -> None:
    values = recipe.model_dump()
    values["data"]["split"] = [0.8, 0.0, 0.2]
    with pytest.raises(UserError, match=r"train\.learning_rate: auto compares rates on validation rows"):
        run(Recipe(**values), Show(lambda line: None))


def test_the_plan_counts_the_trials(recipe: Recipe) -> None:
    number = recipe.model_dump()
    number["train"]["learning_rate"] = 0.01
    assert plan(recipe, Show(lambda line: None)).measured.seconds["probe"] > 0
    assert "probe" not in plan(Recipe(**number), Show(lambda line: None)).measured.seconds


def trials(*losses: float | None) -> list[Trial]:
    return [Trial(0.001 * 10**i, loss) for i, loss in enumerate(losses)]


@pytest.mark.parametrize(
    ("losses", "rate", "said"),
    [
        ((1.9, 1.0, 1.5), 0.01, "2 to 1, the lowest"),
        ((1.9, 1.01, 1.0), 0.01, "the smallest of the equals"),
        ((1.9, 1.03, 1.0), 0.1, "largest that was tried"),
        ((1.0, 1.5, None), 0.001, "smallest that was tried"),
        ((None, 1.0, None), 0.01, "the lowest"),
        ((2.1, 2.2, 9.0), 0.5, "no rate lowered"),
    ],
)
def test_the_choice_by_hand(losses: tuple[float | None, ...], rate: float, said: str) -> None:
    value, why = best(trials(*losses), 2.0, 0.5, KEY)
    assert value == pytest.approx(rate) and said in why


def test_when_all_are_lost_the_run_has_failed() -> None:
    with pytest.raises(RunFailed, match="not-a-number"):
        best(trials(None, None), 2.0, 0.5, KEY)


def test_rates_are_short_numbers_below_the_largest() -> None:
    assert rates_around(2e-4) == (2e-5, 6e-5, 2e-4, 6e-4, 2e-3)
    assert rates_around(3.0) == (0.3, 0.9, 3.0, 9.0)
