from typing import Any

import pytest
from pydantic import ValidationError

from tunesmith.data.config import Data


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "train"),
        ({"train": ()}, "data.train: name at least one file"),
        ({"train": " "}, "data.train"),
        ({"train": ("a", "a")}, "data.train: a is named twice"),
        ({"split": (0.5, 0.1, 0.1)}, r"data.split: \[0.5, 0.1, 0.1\] must be three parts"),
        ({"split": (0, 0.5, 0.5)}, "the first part"),
        ({"split": (1.2, -0.1, -0.1)}, "data.split"),
        ({"columns": {"promt": "q"}}, r"data.columns.promt: not a field of any format; did you mean `prompt`"),
        ({"columns": {"prompt": "q", "completion": "q"}}, "`q` is used for two fields"),
        ({"template": "no place"}, r"data.template: must contain \{text\}"),
        ({"template": "{text}", "format": "alpaca"}, "data.template: only labelled text"),
        ({"labels": ("a",)}, "data.labels: name at least two"),
        ({"labels": ("a", "a")}, "data.labels: `a` is named twice"),
        ({"system": ""}, "data.system"),
        ({"max_length": 1}, "data.max_length: 1 is too short"),
        ({"limit": 0}, "data.limit: 0"),
        ({"near_duplicates": 0}, "data.near_duplicates"),
        ({"too_long": "split"}, "too_long"),
        ({"trian": "f"}, "trian"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, Any], message: str) -> None:
    given = values if not values or "train" in values else {"train": "f", **values}
    with pytest.raises(ValidationError, match=message):
        Data(**given)


def test_every_field_says_what_it_is() -> None:
    assert all(field.description for field in Data.model_fields.values())
