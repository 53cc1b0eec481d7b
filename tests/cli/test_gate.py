"""`tunesmith gate` as CI would use it."""

import json
from pathlib import Path

from tests.cli.conftest import Command
from tests.release.finished import finished


def test_pass_fail_and_not_known(tunesmith: Command, tmp_path: Path) -> None:
    run, policy = finished(tmp_path / "run"), tmp_path / "policy.yaml"
    policy.write_text("rules: {task.accuracy: {gain_above: 0}}")
    said = tunesmith("gate", run, "--policy", policy)
    assert said.status == 0 and said.out.splitlines()[-1] == f"verdict by {policy}: PASS, 1 of 1 rules hold"
    policy.write_text("rules: {task.accuracy: {gain_above: 50 points}}")
    said = tunesmith("gate", run, "--policy", policy, "--json")
    document = json.loads(said.out)
    assert said.status == 1 and document["verdict"] == "fail" and document["rules"][0]["state"] == "fail"
    said = tunesmith("gate", run, "--policy", "company")
    assert said.status == 2 and "--suite refusals` measures it" in said.out


def test_a_wrong_policy_is_one_line(tunesmith: Command, tmp_path: Path) -> None:
    said = tunesmith("gate", finished(tmp_path / "run"), "--policy", "compny")
    assert said.status == 2 and said.out == "" and said.err.count("\n") == 1 and "did you mean `company`" in said.err
    said = tunesmith("gate", tmp_path, "--policy", "hobby")
    assert said.status == 2 and "no run folder" in said.err
