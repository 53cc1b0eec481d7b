"""The model card and the bill of materials say what the files of the run say, and nothing else."""

import json
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.release.finished import finished
from tunesmith.core.errors import UserError
from tunesmith.release.papers import write_papers

ORIGIN = {"fingerprint": "ab" * 32, "source": "local files", "licence": "Apache-2.0", "note": "a 4-bit checkpoint"}


def test_the_bill_of_materials_is_valid(tmp_path: Path) -> None:
    run = finished(tmp_path / "run", {"bbq": {"bias_ambiguous": {}}}, origin=ORIGIN)
    bom = write_papers(run)[1].read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bom) is None
    found = json.loads(bom)
    parts = {part["bom-ref"]: part for part in found["components"]}
    assert parts["base"]["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert parts["base"]["hashes"][0]["content"] == "ab" * 32
    assert parts["data-1"]["hashes"] and parts["library-torch"]["purl"].startswith("pkg:pypi/torch@")
    metrics = {
        m["type"]: m for m in found["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    }
    assert {"task.accuracy", "bbq.bias_ambiguous of the base"} <= set(metrics)
    assert float(metrics["bbq.bias_ambiguous, tuned minus base"]["confidenceInterval"]["lowerBound"]) == -0.01
    assert write_papers(run)[1].read_text() == bom  # the same run, the same bytes


@pytest.mark.parametrize("licence", [None, "ours, see contract 12"])
def test_what_nobody_stated_is_named(tmp_path: Path, licence: str | None) -> None:
    run = finished(tmp_path / "run", origin=ORIGIN | {"licence": licence})
    card, bom = (path.read_text() for path in write_papers(run))
    assert ("- the licence of the base" in card) == (licence is None)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bom) is None
    assert ("contract 12" in bom) == (licence is not None)


def test_the_card_says_what_was_measured_and_what_was_not(tmp_path: Path) -> None:
    run = finished(tmp_path / "run", {"bbq": {"bias_ambiguous": {"low": -0.0123}}})
    card = write_papers(run, "hobby")[0].read_text()
    measured, _, rest = card.partition("## What was not measured")
    missing, _, rest = rest.partition("## Verdict")
    assert "| bbq.bias_ambiguous | 0.5 | 0.5 | -0.0123 to 0.02 | 200 |" in measured
    assert "refusals" in missing and "bbq" not in missing and "general" not in missing
    assert "verdict by hobby: PASS" in rest
    for path in ("evaluation.json", "suites.json"):
        (run / path).unlink()
    (run / "result.json").write_text(json.dumps(json.loads((run / "result.json").read_text()) | {"evaluation": None}))
    assert "Nothing was measured." in write_papers(run)[0].read_text()


def test_no_path_of_this_machine_and_no_row_is_given_away(tmp_path: Path) -> None:
    run = finished(tmp_path / "run", base=str(tmp_path / "bases" / "mine"))
    data = json.loads((run / "data.json").read_text())
    (run / "data.json").write_text(json.dumps(data | {"files": {str(tmp_path / "secret" / "rows.jsonl"): "cd" * 32}}))
    for path in write_papers(run):
        text = path.read_text()
        assert str(tmp_path) not in text and "secret" not in text and "six weeks" not in text
        assert "rows.jsonl" in text and path.stat().st_mode & 0o777 == 0o600


def test_no_papers_for_what_did_not_end_well(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did not end well"):
        write_papers(finished(tmp_path / "run", status="interrupted"))
    assert not (tmp_path / "run" / "bom.json").exists()
