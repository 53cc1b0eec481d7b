import json
import math
from dataclasses import replace

import numpy as np
import pytest

from tunesmith.evaluate.before_after import Evaluation, Outcome, _draws, compare, compare_general

FAST = 500


def outcomes(count: int = 40) -> tuple[list[Outcome], list[Outcome]]:
    """The base says `no` always; the tuned model is right but for every tenth item."""
    generator = np.random.default_rng(0)
    before, after = [], []
    for row in range(count):
        gold = ("yes", "no", "perhaps")[row % 3]
        tokens = int(generator.integers(1, 20))
        nll = tokens * float(generator.gamma(20, 0.15))
        before.append(Outcome(row, nll, tokens, "no", gold, "the answer is no", f"the answer is {gold}"))
        said = "no" if row % 10 == 0 else gold
        after.append(Outcome(row, 0.5 * nll, tokens, said, gold, f"the answer is {said}", f"the answer is {gold}"))
    return before, after


def test_numbers_by_hand():
    before = [Outcome(0, 6.0, 2), Outcome(1, 2.0, 6)]
    after = [Outcome(0, 2.0, 2), Outcome(1, 2.0, 6)]
    found = compare(before, after, resamples=FAST)
    assert found.before == {"loss": 1.0, "perplexity": pytest.approx(math.e)}
    assert found.after == {"loss": 0.5, "perplexity": pytest.approx(math.exp(0.5))}
    assert found.difference["loss"]["mean"] == -0.5
    assert found.verdict["loss"].startswith("no detectable difference (too few items: 2")
    assert set(found.document()) == {"before", "after", "difference", "verdict", "n"}


def test_a_model_that_learned():
    before, after = outcomes()
    found = compare(before, after, ["yes", "no", "perhaps"], FAST)
    metrics = {"loss", "perplexity", "accuracy", "macro_f1", "exact_match", "rouge_l", "chrf"}
    assert set(found.before) == set(found.after) == set(found.difference) == set(found.verdict) == metrics
    assert found.before["accuracy"] == found.before["exact_match"] == pytest.approx(13 / 40)
    assert found.before["macro_f1"] == pytest.approx(2 * 13 / (40 + 13) / 3)
    assert set(found.verdict.values()) == {"better"}
    for numbers in found.difference.values():
        assert set(numbers) == {"mean", "low", "high", "p"}
        assert numbers["low"] < numbers["mean"] < numbers["high"]
    assert found.difference["loss"]["mean"] == pytest.approx(found.after["loss"] - found.before["loss"])
    assert found.n == 40
    assert found.majority == pytest.approx(14 / 40)
    assert found.confusion is not None
    assert found.confusion["labels"] == ["yes", "no", "perhaps"]
    assert found.confusion["before"] == [[0, 14, 0], [0, 13, 0], [0, 13, 0]]
    assert np.trace(found.confusion["after"]) == found.after["accuracy"] * 40
    assert json.loads(json.dumps(found.document(), allow_nan=False)) == found.document()


def test_the_same_model_twice_shows_no_difference():
    before, _ = outcomes()
    found = compare(before, before, ["yes", "no", "perhaps"], FAST)
    assert all(words.startswith("no detectable difference (could have seen") for words in found.verdict.values())
    assert all(numbers["mean"] == 0 for numbers in found.difference.values())


def test_only_what_was_asked_is_measured():
    before, after = outcomes()
    assert set(compare(before, after, resamples=FAST).before) == {
        "loss", "perplexity", "exact_match", "rouge_l", "chrf",
    }  # fmt: skip
    silent = [replace(o, answer=None) for o in after]
    assert "rouge_l" not in compare(before, silent, ["yes", "no", "perhaps"], FAST).before


@pytest.mark.parametrize(("items", "draws"), [(0, 10_000), (400, 10_000), (5_000, 4_000), (1_000_000, 2_000)])
def test_many_items_are_drawn_less_often(items, draws):
    assert _draws(items) == draws


def test_other_rows_are_refused():
    before, after = outcomes()
    with pytest.raises(AssertionError, match="same rows"):
        compare(before, after[::-1])


def test_forgetting_joins_the_evaluation():
    task = compare(*outcomes(), resamples=FAST)
    generator = np.random.default_rng(1)
    text = [(float(nll), 100, int(right)) for nll, right in generator.gamma(90, (3.0, 0.4), size=(30, 2))]
    general = compare_general(text, [(nll * 1.05, tokens, right - 2) for nll, tokens, right in text], FAST)
    assert set(general.verdict.values()) == {"worse"}
    assert general.after["general_perplexity"] == pytest.approx(math.exp(sum(n for n, _, _ in text) * 1.05 / 3000))
    assert general.difference["general_accuracy"]["mean"] == pytest.approx(-0.02)
    both = task.joined(general)
    assert both.n == task.n
    assert set(both.before) == set(task.before) | {"general_loss", "general_perplexity", "general_accuracy"}
    assert task == compare(*outcomes(), resamples=FAST)


def test_a_broken_model_still_gives_a_document():
    before = [Outcome(row, 10_000.0, 1) for row in range(10)]
    after = [Outcome(row, 1.0 + row, 1) for row in range(10)]
    document = compare(before, after, resamples=FAST).document()
    assert json.dumps(document, allow_nan=False)


def test_nothing_to_evaluate_gives_a_document():
    found = compare([], [], ["yes"])
    assert found.n == 0
    assert json.dumps(found.joined(Evaluation()).document(), allow_nan=False)
