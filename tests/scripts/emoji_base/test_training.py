from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from scripts.emoji_base.training import Plan, Stage, best, generator, states
from tunesmith.core.errors import UserError

PLAN = Plan(steps=75, batch=4, rate=1e-2, warmup=5, average=0.9)


def stage(folder: Path, plan: Plan = PLAN) -> Stage:
    torch.manual_seed(0)
    return Stage("line", nn.ModuleDict({"a": nn.Linear(3, 4), "b": nn.Linear(4, 1)}), plan, folder, slow={"b.": 0.5})


def losses(one: Stage):
    def loss(step: int):
        x = torch.randn(one.plan.batch, 3, generator=generator(one.plan.seed, step))
        made = one.network["b"](one.network["a"](x).tanh())
        return {"loss": (made - x.sum(dim=1, keepdim=True)).square().mean()}

    return loss


def whole(one: Stage) -> bool:
    return one.run(losses(one), 60.0, lambda _: None)


@pytest.mark.parametrize("turn", [0.0, 0.02])
def test_stopping_and_going_on_changes_no_bit(tmp_path: Path, turn: float):
    plan = replace(PLAN, turn=turn)
    straight = stage(tmp_path / "straight", plan)
    assert whole(straight)
    for _ in range(3):
        cut = stage(tmp_path / "cut", plan)
        cut._point(losses(cut))
        cut._save(1.0)
    assert cut.step == straight.step == 75
    assert cut.curve == straight.curve and len(cut.curve) == 3
    for name, weight in straight.weights.items():
        assert torch.equal(weight, cut.weights[name])
        assert torch.equal(straight.average[name], cut.average[name])
    assert len(states(cut.folder)) == 1


def test_it_learns_and_no_time_trains_nothing(tmp_path: Path):
    one = stage(tmp_path)
    assert not one.run(losses(one), 0.0)
    assert one.step == 0
    assert whole(one)
    assert one.curve[-1]["loss"] < 0.5 * one.curve[0]["loss"]


def test_which_weights_muon_learns(tmp_path: Path):
    network = nn.ModuleDict({"conv_in": nn.Conv2d(3, 4, 3), "inside": nn.Conv2d(4, 4, 3), "text": nn.Linear(4, 4)})
    one = Stage("some", network, replace(PLAN, turn=0.02), tmp_path, slow={"text.": 0.5})
    adam, muon = one.optimizers
    assert [w is network["inside"].weight for w in muon.param_groups[0]["params"]] == [True]
    assert sum(len(group["params"]) for group in adam.param_groups) == 5
    assert len(stage(tmp_path).optimizers) == 1


def test_a_kept_average_is_what_is_used(tmp_path: Path):
    one = stage(tmp_path)
    whole(one)
    used = best(one.folder, stage(tmp_path / "other").network)
    assert torch.equal(used["a"].weight, one.average["a.weight"])
    assert not torch.equal(used["a"].weight, one.weights["a.weight"])
    with pytest.raises(UserError, match="empty: nothing trained there yet; run --stage empty first"):
        best(tmp_path / "empty", one.network)
    with pytest.raises(AssertionError, match="nothing"):
        best(one.folder, nn.ModuleDict({"nothing": nn.Linear(1, 1)}))


def test_only_the_end_of_a_plan_may_move(tmp_path: Path):
    whole(stage(tmp_path))
    longer = stage(tmp_path, replace(PLAN, steps=100))
    assert whole(longer) and longer.step == 100
    with pytest.raises(UserError, match=r"step-0000100: begun with rate 0.01; go on with that, or delete"):
        stage(tmp_path, replace(PLAN, rate=0.1))


def test_the_rate_is_flat_and_then_falls():
    plan = Plan(steps=1000, batch=1, rate=1.0, warmup=10, cool=0.2)
    assert [plan.share_at(step) for step in (0, 4, 400, 799)] == [0.1, 0.5, 1.0, 1.0]
    assert plan.share_at(900) == pytest.approx(0.5)
    assert plan.share_at(999) == pytest.approx(0.1)
