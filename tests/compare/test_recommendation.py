"""The choice follows from the numbers, and says what it cannot know."""

from dataclasses import replace
from typing import Any

import pytest

from tunesmith.compare.recommendation import Candidate, Circumstances, recommend
from tunesmith.report.comparison import Against, Value

BASE = Value(metric="accuracy", mean=0.5, low=0.45, high=0.55)
KNOWN = Circumstances(base=BASE, seeds=3, items=400, steps=60, wanted_steps=60)
GAIN = Against(mean=0.2, low=0.1, high=0.3, verdict="better")
NONE = Against(mean=0.01, low=-0.03, high=0.05, verdict="no detectable difference (could have seen 0.06)")
LOSS = Against(mean=-0.1, low=-0.15, high=-0.05, verdict="worse")
EQUAL = Against(mean=-0.01, low=-0.04, high=0.02, verdict="no detectable difference (could have seen 0.04)")


def candidate(method: str, quality: float, seconds: float, **changed: Any) -> Candidate:
    values: dict[str, Any] = {
        "quality": Value(metric="accuracy", mean=quality, low=quality - 0.03, high=quality + 0.03),
        "seconds": seconds,
        "memory": 1_000_000_000,
        "stored": 1_000_000,
        "against_base": GAIN,
        "against_best": EQUAL,
    }
    return Candidate(method, **(values | changed))


FULL = candidate("full", 0.75, 4.0, memory=3_000_000_000, stored=270_000_000, against_best=None)
LORA = candidate("lora", 0.74, 1.0)


def test_where_no_difference_is_detected_the_cheaper_one_is_taken_and_the_doubt_is_said() -> None:
    found = recommend([FULL, LORA], KNOWN)
    assert found.method == "lora"
    assert "74.0 % (71.0 % to 77.0 %), 50.0 % for the base" in found.sentence
    assert "not detectably different from that of the best, full (75.0 %)" in found.sentence
    assert "25.0 % of its time a step and 33.3 % of its memory" in found.sentence
    assert any("full may be better by up to 4.0 points" in doubt for doubt in found.doubts)


def test_a_method_that_is_better_is_taken_whatever_it_costs() -> None:
    found = recommend([FULL, replace(LORA, against_best=LOSS)], KNOWN)
    assert found.method == "full" and "is the best" in found.sentence
    assert not any("may be better" in doubt for doubt in found.doubts)


def test_a_dominated_one_is_never_taken() -> None:
    best = replace(LORA, against_best=None)
    worse = replace(FULL, against_best=LOSS)
    assert recommend([worse, best], KNOWN).method == "lora"
    assert recommend([replace(FULL, against_best=EQUAL), best], KNOWN).method == "lora"


def test_of_equals_the_one_that_forgets_is_left() -> None:
    rise = Value(metric="general_perplexity", mean=2.0, low=1.5, high=2.5)
    still = Value(metric="general_perplexity", mean=0.1, low=-0.2, high=0.4)
    cheap = replace(LORA, forgetting=rise, forgot=True)
    calm = replace(FULL, forgetting=still)
    found = recommend([calm, cheap], KNOWN)
    assert found.method == "full" and "No forgetting could be detected" in found.sentence
    both = recommend([replace(calm, forgot=True, forgetting=rise), cheap], KNOWN)
    assert both.method == "lora" and "It forgets: perplexity on general text rose by 2" in both.sentence


def test_costs_that_are_nearly_equal_are_decided_by_what_must_be_stored() -> None:
    small = candidate("ia3", 0.73, 1.05, stored=100_000)
    assert recommend([FULL, LORA, small], KNOWN).method == "ia3"
    assert recommend([FULL, LORA, replace(small, seconds=1.3)], KNOWN).method == "lora"


def test_without_a_gain_nothing_is_recommended() -> None:
    found = recommend([replace(FULL, against_base=NONE), replace(LORA, against_base=LOSS)], KNOWN)
    assert found.method is None and "None of the methods is detectably better than the base" in found.sentence


def test_one_that_gained_nothing_is_no_choice_however_cheap() -> None:
    found = recommend([replace(FULL, against_best=None), replace(LORA, against_base=NONE)], KNOWN)
    assert found.method == "full" and "the only one that is detectably better" in found.sentence


def test_less_is_better_for_perplexity() -> None:
    def lower(mean: float) -> Value:
        return Value(metric="perplexity", mean=mean, low=mean - 0.1, high=mean + 0.1)

    behind = Against(mean=0.05, low=-0.02, high=0.12, verdict="no detectable difference (could have seen 0.1)")
    found = recommend(
        [replace(FULL, quality=lower(3.0)), replace(LORA, quality=lower(3.05), against_best=behind)],
        replace(KNOWN, base=lower(9.0)),
    )
    assert found.method == "lora"
    assert any("full may be better by up to 0.120" in doubt for doubt in found.doubts)


@pytest.mark.parametrize(
    ("known", "candidates", "said"),
    [
        (replace(KNOWN, seeds=1), [FULL], "one seed"),
        (replace(KNOWN, steps=20), [FULL], "20 of 60 steps"),
        (replace(KNOWN, items=40), [FULL], "40 test rows"),
        (replace(KNOWN, at_the_edge=["ia3"]), [FULL], "learning rate of ia3 was the last one tried"),
        (replace(KNOWN, left_out={"prefix": "no keys"}), [FULL], "prefix was not compared: no keys."),
        (KNOWN, [replace(FULL, spread=1.6)], "1.6 times as long"),
        (KNOWN, [FULL, LORA, candidate("a", 0.6, 1.0), candidate("b", 0.6, 1.0)], "best of 4"),
    ],
)
def test_doubts_are_said_where_there_is_a_reason(known: Circumstances, candidates: list[Candidate], said: str) -> None:
    assert any(said in doubt for doubt in recommend(candidates, known).doubts)
    assert not any(said in doubt for doubt in recommend([FULL], KNOWN).doubts)


def test_nothing_that_could_be_trained() -> None:
    found = recommend([], replace(KNOWN, left_out={"prefix": "why"}))
    assert found.method is None and "No method could be trained" in found.sentence and found.doubts
