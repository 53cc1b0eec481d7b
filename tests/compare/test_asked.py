"""What is asked becomes one recipe for each run: the method's own values, and what is the same for all."""

from pathlib import Path
from typing import Any

import pytest

from tunesmith.compare.asked import SCHEDULE, Asked, asked, seconds_of
from tunesmith.core.errors import UserError
from tunesmith.methods.full import Full
from tunesmith.methods.lora import LoRA
from tunesmith.methods.names import PRESETS

VALUES: dict[str, Any] = {
    "base": "somewhere",
    "data": "rows.jsonl",
    "method": {"kind": "lora", "rank": 4},
    "train": {"learning_rate": 0.3, "batch_size": 2, "seed": 5},
}


def test_each_method_has_its_own_and_all_share_the_rest() -> None:
    found = asked(VALUES, ["lora", "full", "rslora"], {"rslora": {"method": {"rank": 64}, "train": {"clip": 2.0}}})
    assert found.methods == ("lora", "full", "rslora")
    made = {name: found.recipe_of(name, Path("x"), train={"seed": 6}) for name in found.methods}
    assert made["lora"].method == LoRA(rank=4) and made["full"].method == Full()
    assert made["rslora"].method == LoRA(rank=64, rank_stabilized=True)
    assert {recipe.train.batch_size for recipe in made.values()} == {2}
    assert {recipe.train.seed for recipe in made.values()} == {6} and found.seed(1) == 6
    rates = {name: recipe.train.learning_rate for name, recipe in made.items()}
    assert rates == {"lora": 0.3, "full": None, "rslora": None}, "the rate of a recipe is its own method's"
    assert [made[name].train.clip for name in found.methods] == [1.0, 1.0, 2.0]
    assert found.shared().train.learning_rate is None


def test_a_recipe_of_one_method_replaces_what_the_main_one_says_of_it() -> None:
    found = asked(VALUES, ["lora"], {"lora": {"method": {"rank": 8}}})
    recipe = found.recipe_of("lora", Path("x"), train={})
    assert recipe.method == LoRA(rank=8) and recipe.train.learning_rate is None


def test_a_method_with_a_recipe_need_not_be_named_twice() -> None:
    assert asked(VALUES, ["full"], {"lora": {"method": {"rank": 8}}}).methods == ("full", "lora")


def test_every_name_of_the_table_is_known() -> None:
    assert asked(VALUES, list(PRESETS), {}).methods == tuple(PRESETS)


@pytest.mark.parametrize(
    ("methods", "own", "said"),
    [
        (["lroa"], {}, "--methods: `lroa` is no method; did you mean `lora`"),
        (["prefixes"], {}, "`prefix`"),
        ([], {}, "at least one method"),
        (["lora"], {"lora": {"data": "other.jsonl"}}, "--recipe lora: `data` is the same for all methods"),
        (["lora"], {"lora": {"train": {"max_steps": 3}}}, "train.max_steps is the same for all methods"),
        (["lora"], {"lora": {"method": "full"}}, "--recipe lora: its method is full"),
    ],
)
def test_what_cannot_be_is_one_line(methods: list[str], own: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as found:
        asked(VALUES, methods, own)
    assert said in str(found.value) and "\n" not in str(found.value)


def test_what_a_recipe_refuses_is_said_in_its_words() -> None:
    found = asked(VALUES, ["lora"], {"lora": {"method": {"rnk": 8}}})
    with pytest.raises(UserError, match=r"^method\.rnk: not a field of LoRA; did you mean `rank`"):
        found.recipe_of("lora", Path("x"), train={})


@pytest.mark.parametrize(("text", "seconds"), [("20m", 1200), ("90s", 90), ("1.5h", 5400), ("7", 420), ("2 min", 120)])
def test_times(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-3m", "0m", "20d"])
def test_no_times(text: str) -> None:
    with pytest.raises(UserError, match="--budget"):
        seconds_of(text)


def test_a_folder_belongs_to_one_comparison(tmp_path: Path) -> None:
    first = asked(VALUES, ["lora", "full"], {})
    first.claim(tmp_path)
    first.claim(tmp_path)
    with pytest.raises(UserError, match="another `methods`"):
        asked(VALUES, ["lora"], {}).claim(tmp_path)
    with pytest.raises(UserError, match="another `seeds`"):
        first.model_copy(update={"seeds": 2}).claim(tmp_path)
    more = first.model_copy(update={"budget": 60.0})
    more.claim(tmp_path)  # nothing was decided by the other one yet
    (tmp_path / SCHEDULE).touch()
    with pytest.raises(UserError, match="another `budget`"):
        first.claim(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(UserError, match="not empty"):
        first.claim(tmp_path / "other")


def test_the_folder_has_a_name_of_its_own() -> None:
    def folder(**changed: Any) -> Path:
        return Asked(recipe={"base": "b", "data": "d/rows.jsonl"}, methods=("lora",), **changed).folder

    assert str(folder()).startswith("runs/compare-b-rows-") and folder() == folder()
    assert folder() != folder(seeds=2) != folder(learning_curve=True)


def test_objectives_with_a_reward_are_not_compared():
    with pytest.raises(UserError, match=r"objective: methods are not compared by what grpo makes of them"):
        asked({"base": "b", "data": "d", "objective": {"kind": "grpo", "reward": "exact"}}, ["lora"], {})
