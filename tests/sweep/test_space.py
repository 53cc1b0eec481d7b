"""What `--set` says: the spaces that it makes, and one line for each way to write it wrong."""

import math
from typing import Any

import pytest

from tunesmith.core.errors import UserError
from tunesmith.sweep.asked import asked
from tunesmith.sweep.space import Dimension, metric_of, size, space_of, told

VALUES: dict[str, Any] = {"data": "rows.jsonl"}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("method.rank=[4,8,16]", Dimension("method.rank", choices=(4, 8, 16))),
        ("train.learning_rate=log(1e-5,1e-3)", Dimension("train.learning_rate", low=1e-5, high=1e-3, log=True)),
        ("method.rank=log(4, 64)", Dimension("method.rank", low=4, high=64, log=True, whole=True)),
        ("train.warmup = linear(0.0,0.2)", Dimension("train.warmup", low=0.0, high=0.2)),
        ("train.learning_rate=[1e-4,2e-4]", Dimension("train.learning_rate", choices=(1e-4, 2e-4))),
        ("train.clip=[1.0,null]", Dimension("train.clip", choices=(1.0, None))),
        ("method=[lora,ia3]", Dimension("method", choices=("lora", "ia3"))),
    ],
)
def test_what_is_written_and_what_it_means(text: str, wanted: Dimension) -> None:
    assert space_of([text]) == [wanted]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([], "--set: name at least one key"),
        (["method.rank"], "must be key="),
        (["method.rank=4"], "`4` is no space; write choices as"),
        (["method.rank=[4]"], "at least two choices"),
        (["method.rank=[4,4]"], "at least two choices"),
        (["method.rank=[4,[5]]"], "choices are numbers or words"),
        (["method.rank=[4,"], "is not valid"),
        (["train.learning_rate=log(0,1)"], "log needs numbers above 0"),
        (["train.learning_rate=log(1e-3,1e-5)"], "from a smaller number to a larger one"),
        (["train.learning_rate=log(a,b)"], "needs two numbers"),
        (["method.rank=[4,8]", "method.rank=[2,3]"], "given twice"),
        (["train.seed=[1,2]"], "luck, and no setting"),
        (["base=[one,two]"], "bases --advise"),
        (["data.share=[0.5,1.0]"], "rows that trials are judged on"),
        (["evaluate.items=[1,2]"], "judged before that"),
        (["train.threads=[1,2]"], "not what is learned"),
    ],
)
def test_what_is_wrong_with_it(texts: list[str], said: str) -> None:
    with pytest.raises(UserError) as error:
        space_of(texts)
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("method.rnk=[4,8]", "--set method.rnk=4: recipe: method.rnk: not a field of LoRA; did you mean `rank`"),
        ("method.rank=[4,5000]", "--set method.rank=5000: recipe: method.rank: must be a whole number from 1 to 4096"),
        ("train.warmup=linear(0.0,2.0)", "--set train.warmup=2: recipe: train.warmup"),
        ("objective.kind=[sft,dpo]", "it changes what the validation loss of"),
    ],
)
def test_the_recipe_has_the_last_word(text: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        asked(VALUES, [text])
    assert said in str(error.value)


def test_a_trial_leaves_the_test_rows_alone_and_the_winner_does_not(tmp_path: Any) -> None:
    found = asked(VALUES | {"method": "lora"}, ["method.rank=[4,8]", "train.learning_rate=log(1e-5,1e-3)"])
    trial = found.recipe_of({"method.rank": 8, "train.learning_rate": 2e-4}, tmp_path / "one", trial=True)
    assert (trial.method.rank, trial.train.learning_rate) == (8, 2e-4)  # type: ignore[union-attr]
    assert not trial.evaluate.enabled and trial.output == str(tmp_path / "one")
    assert found.recipe_of({"method.rank": 8}).evaluate.enabled and found.recipe["method"] == "lora"
    assert found.metric == "loss"


def test_settings_of_a_preference_objective_are_ranked_by_right_pairs() -> None:
    found = asked(VALUES | {"objective": "dpo"}, ["objective.beta=log(0.01,1.0)"])
    assert found.metric == "accuracy"
    with pytest.raises(UserError, match="trials could not be ranked"):
        metric_of(space_of(["objective.smoothing=[0.0,0.1]"]), asked(VALUES, ["method.rank=[4,8]"]).base)


def test_auto_within_trials_is_refused_unless_it_is_a_choice() -> None:
    with pytest.raises(UserError, match="auto would search within each trial"):
        asked(VALUES | {"train": {"learning_rate": "auto"}}, ["method.rank=[4,8]"])


def test_size_and_words() -> None:
    assert size(space_of(["method.rank=[4,8]", "train.batch_size=linear(1,4)"])) == 8
    assert size(space_of(["train.warmup=linear(0.0,0.1)"])) == math.inf
    assert (
        told({"train.learning_rate": 0.000123456, "method.rank": 4}) == "train.learning_rate=0.0001235, method.rank=4"
    )
