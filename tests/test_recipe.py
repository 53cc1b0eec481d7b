"""Recipes: what is read, what is refused with a sentence, and what equal means."""

from importlib.resources import files
from pathlib import Path

import pytest
from pydantic import ValidationError

import tunesmith
from tunesmith.core.errors import UserError
from tunesmith.methods.full import Full
from tunesmith.methods.lora import LoRA
from tunesmith.recipe import Recipe, make_recipe, read_recipe

RECIPES = [Path(str(path)) for path in files("tunesmith").joinpath("recipes").iterdir()]


def test_from_python_with_short_forms() -> None:
    recipe = tunesmith.Recipe(base="folder", data="rows.jsonl", method={"kind": "lora", "rank": 8})
    assert recipe.data.train == "rows.jsonl" and recipe.method == LoRA(rank=8) and recipe.objective.kind == "sft"
    assert Recipe(data="rows.jsonl", method="full").method == Full()
    assert Recipe(data={"train": "rows.jsonl"}, method={"rank": 8}) == Recipe(data="rows.jsonl", method=LoRA(rank=8))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"method": {"rnk": 8}}, "method.rnk: not a field of LoRA; did you mean `rank`"),
        ({"method": {"kind": "full", "rank": 8}}, "method.rank: not a field of Full"),
        ({"method": {"kind": "lora", "rank": 0}}, "method.rank: must be a whole number from 1 to 4096, or auto, not 0"),
        ({"method": "lra"}, "method.kind: no method is called `lra`; did you mean `lora`"),
        ({"train": {"epochs": -1}}, "train.epochs: must be a number above 0 and at most 10000, or auto, not -1"),
        ({"bse": "x"}, "bse: not a field of a recipe; did you mean `base`?"),
        ({"data": {"train": "x", "validaton": "y"}}, "data.validaton: not a field of data; did you mean `validation`"),
        ({"data": None}, "data"),
    ],
)
def test_what_cannot_be_is_one_line(values: dict[str, object], said: str) -> None:
    with pytest.raises(UserError) as found:
        Recipe(**({"data": "rows.jsonl"} | values))
    assert said in str(found.value) and "\n" not in str(found.value)
    with pytest.raises(UserError, match=r"^my\.yaml: "):
        make_recipe({"data": "rows.jsonl"} | values, "my.yaml")


def test_a_recipe_is_frozen() -> None:
    with pytest.raises(ValidationError):
        Recipe(data="rows.jsonl").base = "other"  # type: ignore[misc]


def test_without_data() -> None:
    with pytest.raises(UserError, match="`data` is missing"):
        make_recipe({"base": "x"})


def test_what_is_written_out_reads_back_as_the_same(tmp_path: Path) -> None:
    recipe = Recipe(data={"train": ["ä.jsonl", "b.csv"], "columns": {"prompt": "q"}}, method={"ranks": {"up_proj": 4}})
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.dumped(), encoding="utf-8")
    assert read_recipe(path) == recipe and read_recipe(path).fingerprint == recipe.fingerprint


def test_overrides_come_last_and_are_typed(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("data: rows.jsonl\nmethod: lora\ntrain: {epochs: 2}\n")
    words = ["method.targets=[q_proj, v_proj]", "train.epochs=0.5", "data.test=t.jsonl", "train.patience=", "base=b=c"]
    recipe = read_recipe(path, words)
    assert isinstance(recipe.method, LoRA) and recipe.method.targets == ("q_proj", "v_proj")
    assert recipe.train.epochs == 0.5 and recipe.train.patience is None and recipe.base == "b=c"
    assert (recipe.data.train, recipe.data.test) == ("rows.jsonl", "t.jsonl")
    with pytest.raises(UserError, match="is no override"):
        read_recipe(path, ["method.rank"])


def test_options_keep_the_section_they_point_into(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("data: {train: a.jsonl, columns: {prompt: q}}\nmethod: {kind: lora, rank: 4}\nbase: x\n")
    recipe = read_recipe(path, (), data="b.jsonl", method="lora", base=None)
    assert recipe.data.train == "b.jsonl" and recipe.data.columns == {"prompt": "q"}
    assert recipe.method == LoRA(rank=4) and recipe.base == "x"
    assert read_recipe(path, (), method="full").method == Full()


def test_a_bomb_of_references_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("a: &a [x, x]\nb: &b [*a, *a]\ndata: [*b, *b]\n")
    with pytest.raises(UserError, match="references"):
        read_recipe(path)
    path.write_text("[" * 5000)
    with pytest.raises(UserError, match="not valid YAML"):
        read_recipe(path)
    path.write_text("#" * (1 << 21))
    with pytest.raises(UserError, match="larger than a recipe"):
        read_recipe(path)


def test_equal_means_the_same_result() -> None:
    recipe = Recipe(data="rows.jsonl")
    assert recipe.fingerprint == Recipe(data="rows.jsonl", output="elsewhere", allow_download=True).fingerprint
    others = [
        Recipe(data="rows.jsonl", train={"seed": 1}),
        Recipe(data="rows.jsonl", base="x"),
        Recipe(data="other.jsonl"),
        Recipe(data="rows.jsonl", evaluate={"items": 3}),
    ]
    assert len({recipe.fingerprint, *(other.fingerprint for other in others)}) == 5


def test_the_folder_is_named_after_the_recipe() -> None:
    recipe = Recipe(base="/models/my model", data="data/rows.jsonl")
    assert str(recipe.folder) == f"runs/my_model-lora-rows-{recipe.fingerprint[:8]}"
    assert Recipe(data="rows.jsonl", output="x").folder == Path("x")


def test_the_recipes_of_the_package() -> None:
    assert {read_recipe(path).output for path in RECIPES} == {"runs/quickstart", "runs/quickstart-image"}
