"""GRPO and its variants and RLOO: TRL's numbers on the same rollouts, and no number that depends on the cut.

TRL 1.16 stands beside (`pip install -e '.[bench]'`); where it is not installed, the numbers that it gave are compared.
"""

from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.objectives.rollouts import LONGEST, Numbers, Table, cuts, numbers, packed
from tunesmith.core.loss import Loss
from tunesmith.objectives.grpo import GRPO
from tunesmith.objectives.rloo import RLOO
from tunesmith.streams import advantages

# What TRL 1.16.0 gave for `numbers(seed)`, by `trl_grpo` and `trl_rloo` below.
GIVEN = {
    ("grpo", 0.0, 1): 0.04298990,
    ("grpo", 0.1, 0): 0.05779102,
    ("dapo", 0.0, 1): -0.17375337,
    ("dapo", 0.1, 0): 0.09417646,
    ("dr_grpo", 0.0, 1): -0.06365538,
    ("dr_grpo", 0.1, 0): 0.02523611,
    ("rloo", 0.1, 0): 0.14758991,
    ("rloo", 0.0, 1): 0.32616523,
}


def ours_grpo(known: Numbers, variant: str, beta: float) -> tuple[Loss, float, Tensor]:
    weigh = {
        "grpo": advantages.of_answers,
        "dapo": advantages.of_tokens,
        "dr_grpo": lambda lengths: advantages.of_longest(lengths, LONGEST),
    }[variant]
    advantage = advantages.grouped(known.rewards, scaled=variant != "dr_grpo")
    return _measured(GRPO(reward="exact", variant=variant, beta=beta), known, advantage, weigh(known.flat))


def ours_rloo(known: Numbers, beta: float) -> tuple[Loss, float, Tensor]:
    far = known.padded(known.old - known.reference).sum(1).view_as(known.rewards)
    advantage = advantages.leave_one_out(known.rewards - beta * far)
    return _measured(RLOO(reward="exact"), known, advantage, advantages.of_answers(known.flat))


def _measured(objective, known: Numbers, advantage: Tensor, weights: list[float]) -> tuple[Loss, float, Tensor]:
    """-> the loss, its mean over the step, and the gradient in each log-probability."""
    logprobs = known.logprobs.clone().requires_grad_()
    batch = packed(known, known.spread(advantage), known.spread(weights))
    loss = objective(Table(logprobs), batch)
    mean = loss.total / batch.units
    mean.backward()
    return loss, float(mean.detach()), logprobs.grad


def _trl(known: Numbers, advantage: Tensor, beta: float, **more) -> tuple[dict, SimpleNamespace, Tensor]:
    logprobs = known.logprobs.clone().requires_grad_()
    mask = known.padded(torch.ones_like(known.old)).long()
    empty = torch.zeros(len(mask), 1, dtype=torch.long)
    inputs = {
        "prompt_ids": empty,
        "prompt_mask": empty,
        "completion_ids": mask,
        "completion_mask": mask,
        "advantages": advantage.flatten(),
        "old_per_token_logps": known.padded(known.old),
        "old_logps": known.padded(known.old).sum(1),
        "ref_per_token_logps": known.padded(known.reference),
        "num_items_in_batch": mask.sum(),
    }
    accelerator = MagicMock(num_processes=1)
    accelerator.gather = accelerator.gather_for_metrics = lambda x: x
    accelerator.reduce = lambda x, reduction: x
    trainer = MagicMock(
        model=SimpleNamespace(training=False),
        accelerator=accelerator,
        beta=beta,
        aux_loss_enabled=False,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        importance_sampling_level="token",
        use_vllm=False,
        use_adaptive_entropy=False,
        _entropy_bonus_enabled=False,
        epsilon_low=0.2,
        max_completion_length=LONGEST,
        args=SimpleNamespace(delta=None, use_bias_correction_kl=False, steps_per_generation=1),
        current_gradient_accumulation_steps=1,
        **more,
    )
    trainer._get_per_token_logps_and_entropies = lambda *a, **k: (
        known.padded(logprobs),
        torch.zeros_like(mask, dtype=torch.float32),
        None,
    )
    return inputs, trainer, logprobs


def trl_grpo(known: Numbers, variant: str, beta: float) -> tuple[float, Tensor]:
    from trl import GRPOTrainer

    # As its _generate_and_score_completions has them; scale_rewards is "none" for Dr. GRPO.
    centred = known.rewards - known.rewards.mean(1, keepdim=True)
    advantage = centred if variant == "dr_grpo" else centred / (known.rewards.std(1, keepdim=True) + 1e-4)
    high = 0.28 if variant == "dapo" else 0.2
    inputs, trainer, logprobs = _trl(known, advantage, beta, loss_type=variant, epsilon_high=high)
    loss = GRPOTrainer._compute_loss(trainer, None, inputs)
    loss.backward()
    return float(loss.detach()), logprobs.grad


def trl_rloo(known: Numbers, beta: float) -> tuple[float, Tensor]:
    from trl import RLOOTrainer

    # As its _generate_and_score_completions has them: the distance is taken off, and then the mean of the others.
    rewards = known.rewards - beta * known.padded(known.old - known.reference).sum(1).view_as(known.rewards)
    baseline = (rewards.sum(1, keepdim=True) - rewards) / (rewards.shape[1] - 1)
    inputs, trainer, logprobs = _trl(known, rewards - baseline, beta, epsilon_high=0.2)
    loss = RLOOTrainer._compute_loss(trainer, None, inputs)
    loss.backward()
    return float(loss.detach()), logprobs.grad


CASES = [(variant, beta, seed) for variant in ("grpo", "dapo", "dr_grpo") for beta in (0.0, 0.1) for seed in (0, 1)]


@pytest.mark.parametrize(("variant", "beta", "seed"), CASES)
def test_grpo_is_trls(variant, beta, seed):
    pytest.importorskip("trl")
    known = numbers(seed)
    loss, mean, slope = ours_grpo(known, variant, beta)
    theirs, their_slope = trl_grpo(known, variant, beta)
    assert mean == pytest.approx(theirs, abs=1e-6)
    torch.testing.assert_close(slope, their_slope, atol=1e-6, rtol=0)
    assert 0 < float(loss.metrics["clipped"]) < len(slope)


@pytest.mark.parametrize("beta", [0.0, 0.1])
@pytest.mark.parametrize("seed", [0, 1])
def test_rloo_is_trls(beta, seed):
    pytest.importorskip("trl")
    known = numbers(seed)
    _, mean, slope = ours_rloo(known, beta)
    theirs, their_slope = trl_rloo(known, beta)
    assert mean == pytest.approx(theirs, abs=1e-6)
    torch.testing.assert_close(slope, their_slope, atol=1e-6, rtol=0)


@pytest.mark.parametrize("case", GIVEN, ids=str)
def test_the_numbers_that_trl_gave(case):
    kind, beta, seed = case
    known = numbers(seed)
    found = ours_rloo(known, beta) if kind == "rloo" else ours_grpo(known, kind, beta)
    assert found[1] == pytest.approx(GIVEN[case], abs=1e-6)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1000), st.lists(st.lists(st.integers(1, 9), min_size=3, max_size=3), min_size=1, max_size=4))
def test_neither_loss_nor_gradient_depends_on_the_cut(seed, lengths):
    known = numbers(seed, lengths)
    advantage = known.spread(advantages.grouped(known.rewards, scaled=True))
    weight = known.spread(advantages.of_answers(known.flat))
    for objective in (GRPO(reward="exact"), RLOO(reward="exact")):
        whole = packed(known, advantage, weight)
        parts = cuts(whole)
        assert len(parts) == len(known.flat) and sum(part.units for part in parts) == whole.units
        totals, slopes = [], []
        for passes in ([whole], parts):
            logprobs = known.logprobs.clone().requires_grad_()
            losses = [objective(Table(logprobs), batch) for batch in passes]
            total = sum(loss.total for loss in losses)
            total.backward()
            totals.append(
                {"loss": float(total.detach())}
                | {k: sum(float(x.metrics[k]) for x in losses) for k in losses[0].metrics}
            )
            slopes.append(logprobs.grad)
        assert totals[0] == pytest.approx(totals[1], rel=1e-4, abs=1e-4)
        torch.testing.assert_close(slopes[0], slopes[1])


def test_more_of_what_was_rewarded_lowers_the_loss():
    known = numbers(3, moved=0.0)
    for ours in (lambda k: ours_grpo(k, "grpo", 0.0), lambda k: ours_rloo(k, 0.0)):
        _, _, slope = ours(known)
        best = known.spread(known.rewards - known.rewards.mean(1, keepdim=True)) > 0
        assert (slope[best] < 0).all() and (slope[~best] > 0).all()


def test_without_spread_there_is_no_signal_but_the_distance():
    known = numbers(0)
    known.rewards[:] = 1.0
    _, mean, slope = ours_grpo(known, "grpo", 0.0)
    assert mean == 0 and not slope.any()
    _, mean, _ = ours_grpo(known, "grpo", 0.1)
    assert mean > 0


def test_beta_and_epsilon_are_the_papers_where_none_is_given():
    for variant, cost, high in (("grpo", 0.04, 0.2), ("dapo", 0.0, 0.28), ("dr_grpo", 0.0, 0.2)):
        objective = GRPO(reward="exact", variant=variant)
        assert (objective.cost, objective.high) == (cost, high)
    assert GRPO(reward="exact", variant="dapo", beta=0.5, epsilon_high=0.3).cost == 0.5


def test_what_the_stream_tells_is_logged_once_for_the_step():
    known = numbers(0)
    from tests.objectives.rollouts import rollouts
    from tunesmith.core.rollouts import pack_rollouts

    one = torch.ones_like(known.old)
    batch = pack_rollouts(rollouts(known, one, one), {"reward": 0.25})
    passes = cuts(batch)
    sums = [GRPO(reward="exact")(Table(known.logprobs), part).metrics["reward"] for part in passes]
    assert float(sum(sums)) / batch.units == pytest.approx(0.25)
