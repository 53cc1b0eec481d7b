"""The journal: trials that outlive the process, none tried twice, pruning, and what mattered."""

from pathlib import Path

from tunesmith.sweep.space import space_of
from tunesmith.sweep.study import NAME, Study

GRID = ["method.rank=[4,8]", "train.batch_size=linear(1,3)"]
WIDE = ["train.learning_rate=log(1e-5,1e-1)", "method.rank=[4,8,16]"]


def test_every_combination_once_and_then_no_more(tmp_path: Path) -> None:
    study = Study(tmp_path / NAME, space_of(GRID), seed=0)
    seen = []
    while (trial := study.propose()) is not None:
        seen.append(tuple(sorted(trial.params.items())))
        study.end(trial.number, "finished", value=float(trial.params["train.batch_size"]))
    assert len(seen) == len(set(seen)) == 6 and len(study.ended) == 6
    assert (tmp_path / NAME).stat().st_mode & 0o077 == 0


def test_a_second_process_goes_on_with_what_was_begun(tmp_path: Path) -> None:
    first = Study(tmp_path / NAME, space_of(WIDE), seed=0)
    done, begun = first.propose(), first.propose()
    assert done is not None and begun is not None and done.params != begun.params
    first.end(done.number, "finished", value=1.5, seconds=3.0)
    assert not first.report(begun.number, 1, 2.0)

    second = Study(tmp_path / NAME, space_of(WIDE), seed=0)
    assert [trial.number for trial in second.running] == [begun.number]
    assert second.running[0].intermediate_values == {1: 2.0}
    assert second.best is not None and second.best.number == done.number
    assert second.best.user_attrs["seconds"] == 3.0
    more = second.propose()
    assert more is not None and more.params not in (done.params, begun.params)


def test_a_trial_that_is_behind_is_pruned_and_the_better_ones_are_found(tmp_path: Path) -> None:
    study = Study(tmp_path / NAME, space_of(WIDE), seed=0)
    for _ in range(24):
        trial = study.propose()
        assert trial is not None
        rate = float(trial.params["train.learning_rate"])
        loss = 1 + abs(rate - 0.01) * 50 + 0.001 * float(trial.params["method.rank"])
        if study.report(trial.number, 1, loss):
            study.end(trial.number, "pruned", why="behind")
        else:
            study.end(trial.number, "finished", value=loss)
    endings = [trial.state.name for trial in study.ended]
    assert "PRUNED" in endings[4:] and "PRUNED" not in endings[:4]
    assert study.best is not None and study.best.value is not None and study.best.value < 1.3
    shares = study.importance()
    assert shares is not None and next(iter(shares)) == "train.learning_rate" and abs(sum(shares.values()) - 1) < 1e-6


def test_of_few_trials_nothing_is_said_to_matter(tmp_path: Path) -> None:
    assert Study(tmp_path / NAME, space_of(WIDE), seed=0).importance() is None
