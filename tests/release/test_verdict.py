import json
from pathlib import Path
from typing import Any

import pytest

from tests.release.finished import finished
from tunesmith.core.errors import UserError
from tunesmith.release.measured import read_known
from tunesmith.release.policy import Policy, read_policy
from tunesmith.release.shown import lines
from tunesmith.release.verdict import Decision, Verdict, judge


def _verdict(run: Path, metric: str, **rule: Any) -> Verdict:
    return judge(Policy.model_validate({"rules": {metric: rule}}), "own", read_known(run))


def _one(tmp_path: Path, found: dict[str, Any], **rule: Any) -> Decision:
    run = finished(tmp_path / "run", {"drift": {"length": found}})
    (decision,) = _verdict(run, "drift.length", **rule).decisions
    return decision


@pytest.mark.parametrize(
    ("found", "rule", "holds"),
    [
        # higher is better, 50 +3 [+1, +5]
        ({"better": "higher"}, {"gain_above": 0.99}, True),
        ({"better": "higher"}, {"gain_above": 1}, False),  # the end of the interval must lie above, not on it
        ({"better": "higher"}, {"worse_at_most": 0}, True),
        ({"better": "lower"}, {"gain_above": 0}, False),
        ({"better": "lower"}, {"worse_at_most": 5}, True),
        ({"better": "lower"}, {"worse_at_most": 4.9}, False),  # the estimate is 3: the bound decides
        ({"better": "lower"}, {"worse_at_most": "10 %"}, True),
        ({"better": "lower"}, {"worse_at_most": "9.9 %"}, False),
        ({"better": "neither"}, {"rise_at_most": 5}, True),
        ({"better": "neither"}, {"rise_at_most": 4}, False),
        ({"better": "neither"}, {"fall_at_most": 0}, True),
        ({"better": "neither"}, {"at_most": 55}, True),
        ({"better": "neither"}, {"at_most": 54}, False),
        ({"better": "neither"}, {"at_least": 51}, True),
        ({"better": "neither"}, {"at_least": 52}, False),
    ],
)
def test_the_far_end_decides(tmp_path: Path, found: dict[str, Any], rule: dict[str, Any], holds: bool) -> None:
    numbers = {"base": 50, "tuned": 53, "difference": 3, "low": 1, "high": 5}
    assert _one(tmp_path, numbers | found, **rule).state == ("pass" if holds else "fail")


def test_where_nothing_changed_the_rule_of_three_stands_in(tmp_path: Path) -> None:
    still = {"base": 0.0, "tuned": 0.0, "difference": 0.0, "low": 0.0, "high": 0.0, "better": "lower"}
    few = _one(tmp_path, still | {"n": 100}, at_most="2 %")
    assert few.state == "fail" and "rule of three" in few.reason
    assert _one(tmp_path, still | {"n": 200}, at_most="2 %").state == "pass"


def test_too_few_items_tell_nothing(tmp_path: Path) -> None:
    few = _one(tmp_path, {"low": 0.1, "high": 0.2, "difference": 0.15, "n": 5}, gain_above=0)
    assert few.state == "fail" and "5 items only" in few.reason


def test_no_better_side(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"rules.drift.length.gain_above: .*rise_at_most"):
        _one(tmp_path, {"better": "neither"}, gain_above=0)


def test_what_is_not_measured_does_not_pass(tmp_path: Path) -> None:
    run = finished(tmp_path / "a run")
    found = _verdict(run, "refusals.refused", fall_at_most="5 points")
    assert found.state == "incomplete" and found.status == 2
    assert found.decisions[0].command == f"tunesmith evaluate '{run}' --suite refusals"
    assert "FAIL" in lines(found)[-1] and "not measured" in lines(found)[1]


def test_a_metric_that_a_measured_suite_has_not(tmp_path: Path) -> None:
    run = finished(tmp_path / "run", {"refusals": {"refused": {}}})
    with pytest.raises(UserError, match=r"did you mean `refusals.refused`"):
        _verdict(run, "refusals.refuse", at_most=1)


def test_the_runs_own_evaluation_is_read_without_suites(tmp_path: Path) -> None:
    known = read_known(finished(tmp_path / "run"))
    evaluation = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert known.main == "task.accuracy"
    assert known.metrics["task.accuracy"].low == evaluation["difference"]["accuracy"]["low"]
    assert known.metrics["general.perplexity"].better == "lower"
    found = judge(read_policy("hobby"), "hobby", known)
    assert found.state == "pass" and found.status == 0 and found.decisions[1].metric == "task.accuracy"


def test_sizes_and_proof(tmp_path: Path) -> None:
    run = finished(tmp_path / "run")
    assert _verdict(run, "artifact.bytes", at_most="20 MB").state == "pass"
    assert _verdict(run, "artifact.bytes", at_most="19 MB").state == "fail"
    assert _verdict(run, "artifact.share_of_base", at_most="5 %").state == "fail"
    with pytest.raises(UserError, match="use at_most or at_least"):
        _verdict(run, "artifact.bytes", gain_above=0)


def test_writers_and_scorers(tmp_path: Path) -> None:
    run = finished(tmp_path / "run", objective="classify")
    assert _verdict(run, "refusals.refused", at_least=0.9, of="writers").state == "pass"  # not asked of it
    assert _verdict(run, "refusals.refused", at_least=0.9, of="scorers").state == "incomplete"


def test_only_what_was_measured_is_judged(tmp_path: Path) -> None:
    run = finished(tmp_path / "run", {"drift": {"length": {}}})
    suites = json.loads((run / "suites.json").read_text())
    (run / "suites.json").write_text(json.dumps(suites | {"run": {"artifact_sha256": "0" * 64}}))
    with pytest.raises(UserError, match="measured on another artifact"):
        read_known(run)
    (run / "suites.json").unlink()
    next(run.glob("adapter/*.safetensors")).write_bytes(b"others")
    with pytest.raises(UserError, match="is not the file that was measured"):
        read_known(run)
    with pytest.raises(UserError, match="did not end well"):
        read_known(finished(tmp_path / "other", status="failed"))
    with pytest.raises(UserError, match="no run folder"):
        read_known(tmp_path)
