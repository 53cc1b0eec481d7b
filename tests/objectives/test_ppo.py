"""PPO: the papers' formulas, written once more as they stand there, over padded answers and one by one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.objectives.rollouts import Table, cuts, numbers, packed, rollouts
from tunesmith.core.rollouts import pack_rollouts
from tunesmith.objectives.ppo import PPO


def batch_of(seed=0, lengths=None):
    known = numbers(seed, lengths) if lengths else numbers(seed)
    draw = torch.Generator().manual_seed(seed + 1)
    advantage, value, goal, values = (torch.randn(len(known.old), generator=draw) for _ in range(4))
    batch = packed(known, advantage, torch.ones_like(known.old), value=value, goal=goal)
    return known, batch, values


@pytest.mark.parametrize("kl", ["penalty", "reward"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_formula(kl, seed):
    known, batch, values = batch_of(seed)
    objective = PPO(reward="exact", kl=kl, beta=0.3, epsilon=0.1, epsilon_value=0.4, value_weight=0.7)
    logprobs, values = known.logprobs.clone().requires_grad_(), values.clone().requires_grad_()
    loss = objective(Table(logprobs, values), batch)
    loss.total.backward()

    # One token after the other, by the numbers of the paper.
    p, v = known.logprobs.clone().requires_grad_(), values.detach().clone().requires_grad_()
    total = torch.zeros(())
    for t in range(len(p)):
        ratio = torch.exp(p[t] - known.old[t])
        advantage = batch.advantage[t]
        policy = min(ratio * advantage, torch.clamp(ratio, 0.9, 1.1) * advantage)
        near = torch.clamp(v[t], batch.value[t] - 0.4, batch.value[t] + 0.4)
        error = max((v[t] - batch.goal[t]) ** 2, (near - batch.goal[t]) ** 2)
        total = total - policy + 0.7 * error / 2
        if kl == "penalty":
            back = torch.exp(known.reference[t] - p[t])
            total = total + 0.3 * (back - 1 - torch.log(back))
    total.backward()
    torch.testing.assert_close(loss.total, total)
    torch.testing.assert_close(logprobs.grad, p.grad)
    torch.testing.assert_close(values.grad, v.grad)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.lists(st.lists(st.integers(1, 9), min_size=2, max_size=4), min_size=1, max_size=4))
def test_neither_loss_nor_gradient_depends_on_the_cut(seed, lengths):
    lengths = [group[:2] for group in lengths]
    known, whole, values = batch_of(seed, lengths)
    slopes, totals = [], []
    for passes in ([whole], cuts(whole)):
        logprobs, expected = known.logprobs.clone().requires_grad_(), values.clone().requires_grad_()
        losses = [PPO(reward="exact", kl="penalty")(Table(logprobs, expected), batch) for batch in passes]
        total = sum(loss.total for loss in losses)
        total.backward()
        logged = {name: sum(float(loss.metrics[name]) for loss in losses) for name in losses[0].metrics}
        totals.append(logged | {"loss": float(total.detach())})
        slopes.append(torch.cat([logprobs.grad, expected.grad]))
    assert totals[0] == pytest.approx(totals[1], rel=1e-4, abs=1e-4)
    torch.testing.assert_close(*slopes)


def test_the_value_learns_only_near_to_where_it_was():
    known = numbers(0, [[1]])
    one = torch.ones(1)
    for now, moves in ((0.1, True), (0.5, False)):  # it has moved further than 0.2 towards the goal of 1
        values = torch.tensor([now], requires_grad=True)
        batch = pack_rollouts(rollouts(known, one, one, value=torch.zeros(1), goal=one))
        PPO(reward="exact")(Table(known.logprobs, values), batch).total.backward()
        assert bool(values.grad != 0) == moves
