"""A run on one subject is judged at its end and again, on what was painted once; what bars that is said in one line."""

import json

import numpy as np
import pytest
import torch.nn.functional as F
from PIL import Image

from tests.fidelity.drawn import face
from tests.painters import tiny_pipeline
from tunesmith.core.errors import UserError
from tunesmith.models.seeing import Encoder
from tunesmith.recipe import Recipe
from tunesmith.release.measured import read_known
from tunesmith.release.policy import Policy, Rule
from tunesmith.release.verdict import judge
from tunesmith.report.document import RunResult
from tunesmith.report.suites import read_suites
from tunesmith.run import run
from tunesmith.show import Show
from tunesmith.studio import fidelity
from tunesmith.studio.again import judge_again

PROMPTS = ["a zwx ball", "a zwx ball, small, on the left", "a zwx ball, on a red background"]
SUITES = {
    "subject": {"likeness", "similarity"},
    "prompts": {"slots", "slots/background", "slots/place", "slots/size", "prompt_found"},
    "class": {"drift", "diversity", "class_likeness"},
    "copies": {"nearest", "copied", "copied/asked"},
}


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    """-> base, pictures of a subject and of others, drawn."""
    root = tmp_path_factory.mktemp("subject")
    tiny_pipeline("sd-v", root / "base")
    for name, colour, count in (("ball", "orange", 4), ("others", "teal", 3)):
        (root / name).mkdir()
        for seed in range(count):
            Image.fromarray(face(colour, seed, side=40 + 4 * seed)).save(root / name / f"{seed}.png")
    return root


@pytest.fixture
def encoder(monkeypatch, tmp_path):
    """One that needs no weights: squares of colour."""
    made = Encoder("efficientnet", lambda x: F.adaptive_avg_pool2d(x / 255 - 0.7, 4).flatten(1))
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fidelity, "missing_encoder", lambda: None)
    monkeypatch.setattr("tunesmith.studio.again.missing_encoder", lambda: None)
    monkeypatch.setattr(fidelity, "fetch", lambda name, **_: tmp_path)
    monkeypatch.setattr(fidelity, "efficientnet", lambda path: made)


def _recipe(subject, output, **more) -> Recipe:
    evaluate = {"pictures": 0, "picture_steps": 1, "prompts": PROMPTS, "others": str(subject / "others"),
                "fidelity_pictures": 1}  # fmt: skip
    values = {
        "base": str(subject / "base"),
        "data": str(subject / "ball"),
        "objective": {"kind": "dreambooth", "prompt": "a zwx ball", "class_prompt": "a ball"},
        "train": {"max_steps": 2, "precision": "float32", "threads": 1, "batch_size": 2, "learning_rate": 1e-3},
        "evaluate": evaluate,
        "output": str(output),
    }
    return Recipe(**(values | more))


def test_a_subject_is_judged_and_the_gate_reads_it(subject, encoder, tmp_path):
    folder = tmp_path / "run"
    result = run(_recipe(subject, folder), Show(lambda _: None))
    found = read_suites(folder)
    assert {name: set(suite.metrics) for name, suite in found.suites.items()} == SUITES
    assert set(result.fidelity) == {f"{name}.{key}" for name, keys in SUITES.items() for key in keys}
    assert found.suites["class"].metrics["drift"].base == 0 < found.suites["class"].metrics["drift"].tuned
    assert all(np.isfinite([m.base, m.tuned, m.low, m.high]).all() for m in result.fidelity.values())
    for path in found.suites["subject"].pictures.values():
        assert (folder / path).is_file()
    page = (folder / "suites.html").read_text()
    assert (
        page.count("data:image/png;base64") == 3 and "Likeness to the subject" in (folder / "report.html").read_text()
    )
    known = read_known(folder)
    assert known.main == "subject.likeness"
    rules = {"task.main": Rule(at_least="-100"), "class.drift": Rule(at_most="100", of="painters"),
             "general.perplexity": Rule(rise_at_most="5 %", of="writers")}  # fmt: skip
    verdict = judge(Policy(rules=rules), "own", known)
    assert [one.state for one in verdict.decisions] == ["fail", "pass", "not asked"], "three prompts are too few items"
    again(folder, encoder)


def again(folder, encoder) -> None:
    """Pictures are kept: the same is found from them, and one that was cut short is painted again to the same bytes."""
    before = (folder / "suites.json").read_bytes()
    painted = {path: path.read_bytes() for path in (folder / "fidelity" / "tuned").iterdir()}
    first = sorted(painted)[0]
    first.write_bytes(painted[first][:40])
    others = {path: path.stat().st_mtime_ns for path in painted if path != first}
    judge_again(folder, ["all"], Show(lambda _: None))
    assert (folder / "suites.json").read_bytes() == before
    assert first.read_bytes() == painted[first]
    assert {path: path.stat().st_mtime_ns for path in others} == others
    with pytest.raises(UserError, match=r"no such suite of pictures; did you mean `subject`|no such suite of pictures"):
        judge_again(folder, ["subjct"], Show(lambda _: None))


def test_full_tuning_is_judged_by_its_own_model(subject, encoder, tmp_path):
    folder = tmp_path / "run"
    run(_recipe(subject, folder, method="full"), Show(lambda _: None))
    before = json.loads((folder / "suites.json").read_text())
    for path in (folder / "fidelity" / "tuned").iterdir():
        path.unlink()
    judge_again(folder, ["subject", "class"], Show(lambda _: None))
    assert json.loads((folder / "suites.json").read_text()) == before


def test_what_bars_it_is_said(subject, monkeypatch, tmp_path):
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "run"
    result = run(_recipe(subject, folder), Show(lambda _: None))
    assert result.status == "ok" and not result.fidelity
    assert any(
        "the subject was not judged" in note and "bases --get efficientnet-lite0" in note for note in result.notes
    )
    assert not (folder / "suites.json").exists()
    with pytest.raises(UserError, match="bases --get efficientnet-lite0"):
        judge_again(folder, [], Show(lambda _: None))
    assert RunResult.read(folder).fidelity == {}
