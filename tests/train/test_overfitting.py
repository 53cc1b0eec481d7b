"""Overfitting is named when it begins: by hand on short diaries, and in a training on rows that hold nothing."""

from pathlib import Path

import pytest

from tests.train.tiny_run import CONFIG, Tiny, next_token, train
from tunesmith.report.evidence import curves
from tunesmith.report.folder import RunFiles
from tunesmith.train.config import Train
from tunesmith.train.metrics import diary
from tunesmith.train.overfitting import Gap, Turn
from tunesmith.train.progress import Event


def lines(*pairs: tuple[float, float]) -> list[dict[str, float]]:
    """Training loss and validation loss, one step each."""
    found: list[dict[str, float]] = []
    for step, (trained, held) in enumerate(pairs, start=1):
        found += [
            {"step": step, "loss": trained, "units": 4},
            {"step": step, "epoch": step / 2, "validation_loss": held},
        ]
    return found


@pytest.mark.parametrize(
    ("pairs", "seen"),
    [
        ([(2.0, 2.0), (1.5, 1.8), (1.0, 1.9), (0.5, 2.5)], 3),  # it turns
        ([(2.0, 2.0), (1.5, 1.8), (1.0, 1.805), (0.9, 1.7)], None),  # a rise of chance
        ([(2.0, 2.0), (1.5, 1.8), (1.0, 1.805), (0.9, 1.81)], 4),  # two in a row are none
        ([(2.0, 2.0), (1.5, 1.8), (1.6, 2.9)], None),  # both rise: a rate that is too high
        ([(2.0, 2.0), (1.5, 1.8), (1.0, 1.5)], None),
    ],
)
def test_where_it_begins(pairs: list[tuple[float, float]], seen: int | None) -> None:
    turn = Gap.of(lines(*pairs)).turn
    assert (None if turn is None else turn.seen.step) == seen


def test_units_weigh_the_training_loss_and_a_reward_is_not_judged() -> None:
    gap = Gap.of([{"step": 1, "loss": 1.0, "units": 3}, {"step": 2, "loss": 2.0, "units": 1}])
    assert gap.add({"step": 2, "validation_loss": 1.0}) is None
    gap.add({"step": 3, "loss": 0.5, "units": 1})
    turn = gap.add({"step": 3, "validation_loss": 2.0})
    assert turn is not None and turn.best.trained == 1.25
    rewarded = [line | {"validation_reward": 1.0} for line in lines((2.0, 2.0), (1.0, 3.0), (0.5, 4.0))]
    assert Gap.of(rewarded).turn is None


def test_it_is_said_once_with_what_to_change() -> None:
    gap, said = Gap(), []
    for line in lines((2.0, 2.0), (1.5, 1.8), (1.0, 1.9), (0.5, 2.5), (0.4, 3.0)):
        said += [gap.add(line)]
    assert [turn for turn in said if turn] == [gap.turn]
    assert isinstance(gap.turn, Turn)
    assert "from step 2 to step 3 the validation loss rose from 1.8 to 1.9" in gap.turn.sentence
    assert "the training loss fell from 1.5 to 1" in gap.turn.sentence
    assert "about 1 epochs" in gap.turn.advice() and "train.patience=2" in gap.turn.advice()
    assert "train.patience" not in gap.turn.advice(Train(patience=1))


def test_a_training_on_few_random_rows_says_so_and_stops(tmp_path: Path) -> None:
    events: list[Event] = []
    config = CONFIG.model_copy(update={"evaluate_every": 6, "checkpoint_every": 60, "patience": 3})
    fitted = train(tmp_path, Tiny(dropout=0.0), objective=next_token, config=config, steps=120, on_event=events.append)
    found = [event for event in events if event.kind == "overfitting"]
    assert len(found) == 1 and found[0].message.startswith("overfitting begins: from step")
    early = [event for event in events if event.kind == "early"]
    assert fitted.stopped_early and len(early) == 1 and f"since step {fitted.best_step}" in early[0].message
    turn = Gap.of(diary(tmp_path)).turn
    assert turn is not None and turn.seen.step == found[0].step
    page = curves(RunFiles("run", metrics=diary(tmp_path)))
    assert "Overfitting begins: from step" in page and "train.patience=2" in page
