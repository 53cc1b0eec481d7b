"""The page of a sweep: every trial is drawn, the best stands out, and what was not measured is not claimed."""

import math
import re
from pathlib import Path
from typing import Any

import pytest

from tunesmith.report.document import Evaluated, Interval
from tunesmith.report.parallel import Line, Upright, bars, parallel
from tunesmith.report.sweep import Axis, Best, Sweep, SweepTrial
from tunesmith.report.sweep_page import page, sentence, write_page


def found(**more: Any) -> Sweep:
    rates = [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 2e-4, 5e-4, 8e-5]
    trials = [
        SweepTrial(
            number=number,
            values={"train.learning_rate": rate, "method.rank": (4, 8)[number % 2]},
            ending="finished",
            result=1 + abs(math.log10(rate / 3e-4)),
            seconds=60.0,
        )
        for number, rate in enumerate(rates)
    ]
    values = {"train.learning_rate": 9e-4, "method.rank": 8}
    trials += [
        SweepTrial(number=8, values=values, ending="pruned", why="behind <the> others", validations=[2.5], seconds=9.0),
        SweepTrial(number=9, values=values, ending="failed", why="not a number", seconds=1.0),
    ]
    given: dict[str, Any] = {
        "base": "smollm2-135m",
        "data": "reviews.jsonl",
        "method": "lora",
        "objective": "sft",
        "metric": "loss",
        "higher_is_better": False,
        "axes": [
            Axis(key="train.learning_rate", space="train.learning_rate=log(1e-5,1e-3)", low=1e-5, high=1e-3, log=True),
            Axis(key="method.rank", space="method.rank=[4,8]", choices=[4, 8]),
        ],
        "trials": trials,
        "best": Best(trial=3, values=trials[3].values, result=1.0, recipe="best.yaml", run="trials/0003"),
        "importance": {"train.learning_rate": 0.9, "method.rank": 0.1},
        "seconds": 490.0,
    }
    return Sweep(**given | more)


def test_the_page_shows_each_trial_and_the_best_one(tmp_path: Path) -> None:
    text = page(found(), tmp_path)
    assert text.count('class="trial ') == 9, "a trial that failed says nothing about its settings"
    assert text.count('class="trial best"') == 1 and text.count('class="trial lost"') == 1
    assert text.count('class="trial good"') == 1, "the best quarter of eight, beside the best itself"
    assert "behind &lt;the&gt; others" in text and "90 %" in text
    assert "Best of 10 trials (8 finished, 1 pruned, 1 failed)" in text
    assert "On the test rows" not in text
    assert not re.findall(r"<script|https?://(?!www.w3.org)", text)
    assert write_page(tmp_path, found()).stat().st_mode & 0o077 == 0


def test_the_test_rows_are_told_with_how_often_they_were_used(tmp_path: Path) -> None:
    change = Interval(mean=-0.5, low=-0.7, high=-0.3, p=0.001)
    evaluation = Evaluated(
        before={"loss": 2.0}, after={"loss": 1.5}, difference={"loss": change}, verdict={"loss": "better"}, n=40
    )
    once, twice = (page(found(evaluation=evaluation, tested=count), tmp_path) for count in (1, 2))
    assert "On the test rows" in once and "2 winners" not in once
    assert "2 winners have been measured here by now" in twice


def test_what_cannot_be_said_is_not_said(tmp_path: Path) -> None:
    assert "nothing can be said about what mattered" in page(found(importance=None), tmp_path)
    two = found(higher_is_better=True, metric="accuracy")
    assert two.finished[0].result == max(t.result for t in two.trials if t.result is not None)
    assert "accuracy of 1" in sentence(two)


def test_a_document_is_read_as_it_was_written(tmp_path: Path) -> None:
    found().write(tmp_path)
    assert Sweep.read(tmp_path) == found()


@pytest.mark.parametrize(
    ("axis", "value", "share"),
    [
        (Upright("rate", 1e-4, 1e-2, log=True), 1e-3, 0.5),
        (Upright("warmup", 0.0, 0.2), 0.05, 0.25),
        (Upright("loss", 1.0, 3.0, turned=True), 1.0, 1.0),
        (Upright("loss", 1.0, 1.0), 1.0, 0.5),
        (Upright("kind", choices=("a", "b")), "b", 0.75),
    ],
)
def test_where_a_value_stands(axis: Upright, value: object, share: float) -> None:
    assert axis.share(value) == pytest.approx(share)
    assert all(0 <= place <= 1 for place, _ in axis.marks()) and axis.marks()


def test_lines_and_bars_are_well_formed() -> None:
    from xml.etree import ElementTree

    axes = [Upright("a<b", 0.0, 1.0), Upright("loss", 1.0, 2.0, turned=True)]
    for drawn in (
        parallel(axes, [Line("one & two", (0.5, 1.5)), Line("cut", (0.2, None), "lost")]),
        bars({"a<b": 1.0}),
    ):
        ElementTree.fromstring(drawn)
