import pytest
from pydantic import ValidationError

from tunesmith.train.config import Train


@pytest.mark.parametrize(
    ("given", "steps"),
    [
        ({}, 30),
        ({"epochs": 2}, 60),
        ({"epochs": 0.1}, 3),
        ({"epochs": 0.001}, 1),
        ({"max_steps": 100}, 100),
        ({"epochs": 2, "max_steps": 7}, 7),
        ({"epochs": 2, "max_steps": 700}, 60),
    ],
)
def test_how_long_a_run_is(given, steps: int) -> None:
    assert Train(**given).steps(30) == steps


def test_what_is_not_said_is_chosen() -> None:
    assert [Train().evaluation_interval(n) for n in (1, 4, 75)] == [1, 1, 19]
    assert [Train().checkpoint_interval(n) for n in (1, 75, 100_000)] == [1, 8, 500]
    assert Train(evaluate_every=7).evaluation_interval(75) == 7
    assert Train(checkpoint_every=9).checkpoint_interval(75) == 9


@pytest.mark.parametrize(
    "given",
    [
        {"epochs": 0},
        {"max_steps": 0},
        {"batch_size": 0},
        {"learning_rate": -1},
        {"schedule": "steps"},
        {"warmup": 1},
        {"weight_decay": -0.1},
        {"betas": (0.9, 1.0)},
        {"clip": 0},
        {"seed": -1},
        {"precision": "float16"},
        {"keep_checkpoints": 1},
        {"patience": 1, "max_steps": 5, "evaluate_every": 6},
        {"learning_rat": 1},
        {"epochs": float("nan")},
    ],
)
def test_what_makes_no_sense_is_refused(given) -> None:
    with pytest.raises(ValidationError):
        Train(**given)


def test_each_field_is_explained() -> None:
    assert all(field.description for field in Train.model_fields.values())
