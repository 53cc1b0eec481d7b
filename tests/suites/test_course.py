import json
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Command

METRIC = {"base", "tuned", "difference", "low", "high", "p", "verdict", "n", "better"}
WORDS = ("better", "worse", "changed", "equivalent within", "no detectable difference")


@pytest.fixture
def run(told: Path, tmp_path: Path) -> Path:
    return shutil.copytree(told, tmp_path / "run")


def test_suites_that_need_no_download_end_in_one_document_and_one_page(tunesmith: Command, run: Path) -> None:
    names = ["task", "general", "calibration", "drift", "memorisation"]
    said = tunesmith("evaluate", run, *(w for n in names for w in ("--suite", n)), "--slice", "kind", "--limit", 12, "--json")
    assert said.status == 0, said.err
    found = json.loads(said.out)
    assert found == json.loads((run / "suites.json").read_text())
    assert set(found["suites"]) == {*names, "slices"}
    for suite in found["suites"].values():
        assert suite["items"] > 0 and suite["metrics"]
        for metric in suite["metrics"].values():
            assert set(metric) == METRIC
            assert metric["verdict"].startswith(WORDS)
            assert metric["tuned"] - metric["base"] == pytest.approx(metric["difference"], abs=1e-6)
            assert metric["low"] <= metric["difference"] <= metric["high"]
    assert found["run"]["artifact_sha256"] == json.loads((run / "result.json").read_text())["artifact"]["sha256"]
    page = (run / "suites.html").read_text()
    assert all(f"<h2>{name}</h2>" in page for name in found["suites"])
    assert "which show a change of" in said.err  # before anything was measured
    for path in (run / "suites.json", run / "suites.html", *run.glob("suites/*/*.jsonl")):
        assert path.stat().st_mode & 0o777 == 0o600
