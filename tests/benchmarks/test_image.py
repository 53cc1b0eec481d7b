"""Our loop over pictures and the one of diffusers' script do the same work: equal losses on the same noise."""

from pathlib import Path

import pytest

from tests.painters import tiny_pipeline

pytest.importorskip("accelerate")


def test_both_loops_learn_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import picture_work
    import tool_diffusers
    import tool_pictures_tunesmith

    base, scratch = tiny_pipeline("sd-v", tmp_path / "base"), tmp_path / "scratch"
    scratch.mkdir()
    work = picture_work.make_pictures(base, 4, 4, 16, tmp_path)
    ours = tool_pictures_tunesmith.run(work, "float32", scratch)["losses"]
    theirs = tool_diffusers.run(work, "no")["losses"]
    assert ours == pytest.approx(theirs, rel=1e-5) and len(ours) == 4
