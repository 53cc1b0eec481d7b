import json

import pytest
from pydantic import ValidationError

from tests.report.realistic import documents
from tunesmith.report.document import RunResult, schema


def test_the_contract_of_the_file(tmp_path):
    given = documents()["result.json"]
    RunResult.model_validate(given).write(tmp_path)
    written = json.loads((tmp_path / "result.json").read_text())
    assert {key: written[key] for key in given} == given
    contract = "status base method objective parameters train evaluation artifact proof environment"
    assert set(contract.split()) <= set(written)
    assert set(written["train"]) == {
        "steps", "examples", "tokens", "trained_tokens", "seconds", "tokens_per_second", "peak_memory_bytes",
    }  # fmt: skip
    assert set(written["parameters"]) == {"trainable", "total"}
    assert {"path", "bytes", "sha256"} <= set(written["artifact"])
    assert set(written["evaluation"]["difference"]["accuracy"]) == {"mean", "low", "high", "p"}
    assert RunResult.read(tmp_path) == RunResult.model_validate(given)


def test_a_run_that_failed_early_needs_few_keys(tmp_path):
    failed = RunResult(status="failed", message="disk full", base="b", method="lora", objective="sft")
    failed.write(tmp_path)
    written = json.loads((tmp_path / "result.json").read_text())
    assert written["message"] == "disk full"
    assert written["evaluation"] is None
    assert written["proof"] == {}


def test_what_does_not_belong_is_refused():
    given = documents()["result.json"]
    with pytest.raises(ValidationError):
        RunResult.model_validate(given | {"status": "fine"})
    with pytest.raises(ValidationError):
        RunResult.model_validate(given | {"stauts": "ok"})
    given["evaluation"]["after"]["loss"] = float("nan")
    with pytest.raises(ValidationError):
        RunResult.model_validate(given)


def test_the_schema_says_what_the_keys_mean():
    found = json.loads(schema())
    assert set(found["required"]) == {"status", "base", "method", "objective"}
    assert "padding" in found["$defs"]["Training"]["properties"]["tokens"]["description"]
