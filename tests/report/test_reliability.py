"""The part of the report on how sure a classifier is."""

import json
from pathlib import Path

from tunesmith.objectives import OBJECTIVES
from tunesmith.report.document import PAINTING, SCORING
from tunesmith.report.folder import RunFiles
from tunesmith.report.reliability import reliability

BINS = [{"items": 30, "confidence": 0.4 + 0.1 * n, "accuracy": 0.3 + 0.12 * n} for n in range(5)]


def _files(folder: Path, evaluation: object) -> RunFiles:
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    return RunFiles.read(folder)


def test_it_draws_both_sides_and_tells_of_the_temperature(tmp_path: Path) -> None:
    told = {"temperature": 1.7, "ece": 0.031, "loss": 0.62}
    found = {"calibration": {"before": BINS, "after": BINS, "with_temperature": told}}
    page = str(reliability(_files(tmp_path, found)))
    assert page.count("<svg") == 2 and page.count("<circle") == 10
    assert "temperature 1.70" in page and "0.031" in page and "30 rows: 50.0 % sure, 42.0 % right" in page


def test_there_is_none_where_nothing_was_classified_or_the_file_is_odd(tmp_path: Path) -> None:
    for odd in ({}, {"calibration": 3}, {"calibration": {"after": "x"}}, {"calibration": {"before": [{"items": "x"}]}}):
        assert reliability(_files(tmp_path, odd)) is None


def test_what_scores_is_what_ends_in_scores() -> None:
    assert set(PAINTING) == {name for name, kind in OBJECTIVES.items() if kind.ending == "pictures"}
    assert set(SCORING) == {name for name, kind in OBJECTIVES.items() if kind.ending in ("classes", "value")}
