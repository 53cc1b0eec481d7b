"""Each loss is TRL's on the same log-probabilities. `scripts/trl_losses.py` made the file."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tunesmith.core.answers import PairBatch, RatedBatch, tree
from tunesmith.core.batch import Example
from tunesmith.objectives import DPO, IPO, KTO, ORPO, Distill, SimPO

KEPT = json.loads((Path(__file__).parent / "trl.json").read_text())
CASES = KEPT["cases"]
MADE = {
    "sigmoid": lambda c: DPO(beta=c["beta"]),
    "hinge": lambda c: DPO(beta=c["beta"], formula="hinge"),
    "robust": lambda c: DPO(beta=c["beta"], formula="robust", label_smoothing=c["label_smoothing"]),
    "ipo": lambda c: IPO(beta=c["beta"]),
    "simpo": lambda c: SimPO(beta=c["beta"], gamma=c["gamma"]),
    "orpo": lambda c: ORPO(beta=c["beta"]),
    "kto": lambda c: KTO(beta=c["beta"], unwanted_weight=c["unwanted_weight"]),
}


def _batch(case: dict[str, Any]) -> tuple[Any, torch.Tensor]:
    """-> answers of the lengths that TRL had, and the log-probability of each of their labels in our order."""
    policy = case["policy"]
    reference = [sum(row) for row in case.get("reference", [[0.0]] * len(policy))]
    answers = [Example([1, 2, *[3] * len(row)], [False, False, *[True] * len(row)], i) for i, row in enumerate(policy)]
    if case["kind"] == "kto":
        trees = [tree([one], wanted=(wanted,)) for one, wanted in zip(answers, case["wanted"], strict=True)]
        batch: Any = RatedBatch.of(trees, [(value,) for value in reference])
        return replace(batch, drift=torch.tensor(case["drift"])), torch.tensor([x for row in policy for x in row])
    half = len(answers) // 2
    pairs = list(zip(range(half), range(half, 2 * half), strict=True))
    trees = [tree([answers[c], answers[r]], better=((0, 1),)) for c, r in pairs]
    batch = PairBatch.of(trees, [(reference[c], reference[r]) for c, r in pairs])
    return batch, torch.tensor([x for pair in pairs for place in pair for x in policy[place]])


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c['kind']}-{c['beta']}")
def test_the_loss_is_trls(case: dict[str, Any]) -> None:
    batch, logprobs = _batch(case)
    found = MADE[case["kind"]](case)(lambda packed: logprobs, batch)
    assert float(found.total) / batch.units == pytest.approx(case["loss"], rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("case", KEPT["divergences"], ids=lambda c: f"{c['divergence']}-{c['mix']}")
def test_the_divergence_is_trls(case: dict[str, Any]) -> None:
    """All tokens are kept, so there is no rest."""
    mix = {"mix": case["mix"]} if case["divergence"] == "jsd" else {}
    student, teacher = (torch.tensor(case[name]).log_softmax(1) for name in ("student", "teacher"))
    found = Distill(teacher="x", divergence=case["divergence"], **mix).apart(teacher, student)
    assert float(found.mean()) == pytest.approx(case["loss"], rel=1e-6, abs=1e-6)


def test_every_formula_is_there() -> None:
    assert {case["kind"] for case in CASES} == set(MADE)
    assert {case["divergence"] for case in KEPT["divergences"]} == {"forward", "reverse", "jsd"}
