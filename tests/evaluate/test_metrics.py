import numpy as np
import pytest

from tunesmith.evaluate.before_after import Outcome, compare
from tunesmith.evaluate.items import Measured, read_items, same_items, write_items
from tunesmith.evaluate.metrics import METRICS, of_task

KINDS = {
    "preference_accuracy": Outcome(1, 3.0, 2, preference=(1.0, 2.5)),
    "accuracy": Outcome(1, 3.0, 2, "a", "b"),
    "exact_match": Outcome(1, 3.0, 2, answer="x", reference="x"),
    "perplexity": Outcome(1, 3.0, 2),
}
VALUES = {"preference_accuracy": 1.0, "accuracy": 0.0, "exact_match": 1.0, "perplexity": np.exp(1.5)}


@pytest.mark.parametrize("name", KINDS)
def test_what_was_asked_says_how_it_is_judged(name):
    found = Measured([KINDS[name]] * 3, [], {})
    assert of_task(found) == name
    rows = METRICS[name].rows(found)
    assert float(METRICS[name].measure(rows[None])[0]) == pytest.approx(VALUES[name])


def test_pairs_and_ratings_are_kept_and_read_again(tmp_path):
    outcomes = [
        KINDS["preference_accuracy"],
        Outcome(2, 4.0, 1, preference=(0.5, -1.0)),
        Outcome(3, 1.0, 1, wanted=False),
    ]
    side = Measured(outcomes, [], {})
    write_items(tmp_path, {"base": side, "tuned": side})
    assert read_items(tmp_path, "tuned").outcomes == outcomes
    assert same_items(read_items(tmp_path, "base").outcomes, outcomes)


def test_before_and_after_of_pairs_and_ratings():
    before = [Outcome(row, 4.0, 2, preference=(0.0, -2.0)) for row in range(20)]
    after = [Outcome(row, 3.0, 2, preference=(1.0, 1.0 + row / 50)) for row in range(20)]
    found = compare(before, after)
    assert (found.before["preference_accuracy"], found.after["preference_accuracy"]) == (0.0, 1.0)
    assert found.verdict["preference_accuracy"] == found.verdict["preference_margin"] == "better"
    rated = [Outcome(row, 4.0, 2, wanted=row % 2 == 0) for row in range(40)]
    told = [Outcome(row, 3.0 if row % 2 == 0 else 6.0, 2, wanted=row % 2 == 0) for row in range(40)]
    found = compare(rated, told)
    assert (found.before["loss"], found.after["loss"], found.after["unwanted_loss"]) == (2.0, 1.5, 3.0)
    assert found.verdict["loss"] == found.verdict["unwanted_loss"] == "better"  # unwanted answers surprise more
