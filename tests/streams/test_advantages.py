import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.streams import advantages

lengths = st.lists(st.integers(1, 50), min_size=1, max_size=20)
rewards = st.lists(st.lists(st.floats(-10, 10), min_size=4, max_size=4), min_size=1, max_size=5).map(torch.tensor)


@given(rewards)
def test_a_group_is_judged_against_itself(values):
    for scaled in (True, False):
        found = advantages.grouped(values, scaled=scaled)
        assert found.mean(1).abs().max() < 1e-3
        same = values.std(1) == 0
        assert not found[same].abs().gt(1e-2).any()
    torch.testing.assert_close(
        advantages.grouped(values, scaled=True) * (values.std(1, keepdim=True) + 1e-4),
        advantages.grouped(values, scaled=False),
    )


@given(rewards)
def test_leave_one_out_is_the_mean_of_the_others(values):
    found = advantages.leave_one_out(values)
    for n in range(len(values)):
        for g in range(4):
            others = [values[n, i] for i in range(4) if i != g]
            assert float(found[n, g]) == pytest.approx(float(values[n, g] - sum(others) / 3), abs=1e-4)


@given(lengths)
def test_weights_turn_the_mean_of_tokens_into_the_papers(counts):
    tokens, losses = sum(counts), [float(i + 1) for i in range(len(counts))]  # one loss for all tokens of an answer

    def mean(weights):
        return sum(w * loss * n for w, loss, n in zip(weights, losses, counts, strict=True)) / tokens

    assert mean(advantages.of_answers(counts)) == pytest.approx(sum(losses) / len(counts))
    assert mean(advantages.of_tokens(counts)) == pytest.approx(
        sum(loss * n for loss, n in zip(losses, counts, strict=True)) / tokens
    )
    assert mean(advantages.of_longest(counts, 50)) == pytest.approx(
        sum(loss * n / 50 for loss, n in zip(losses, counts, strict=True)) / len(counts)
    )


@given(
    st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=1, max_size=12), st.floats(0.5, 1), st.floats(0, 1)
)
def test_gae_is_the_sum_of_the_paper(pairs, discount, trace):
    reward, value = (torch.tensor(x) for x in zip(*pairs, strict=True))
    found = advantages.expected(reward, value, discount=discount, trace=trace)
    following = torch.cat([value[1:], torch.zeros(1)])
    surprise = reward + discount * following - value
    for t in range(len(reward)):
        wanted = sum((discount * trace) ** (k - t) * surprise[k] for k in range(t, len(reward)))
        assert float(found[t]) == pytest.approx(float(wanted), abs=1e-3)


def test_gae_at_its_ends():
    reward, value = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.5, 0.2, 0.7])
    # lambda 1: what came, against what was expected; lambda 0: one step ahead
    torch.testing.assert_close(advantages.expected(reward, value, discount=1, trace=1), 1 - value)
    torch.testing.assert_close(
        advantages.expected(reward, value, discount=1, trace=0), torch.tensor([0.2 - 0.5, 0.7 - 0.2, 1 - 0.7])
    )


def test_whitened():
    found = advantages.whitened(torch.tensor([1.0, 2.0, 6.0]))
    assert float(found.mean()) == pytest.approx(0, abs=1e-6) and float(found.var()) == pytest.approx(1, abs=1e-4)
    assert advantages.whitened(torch.tensor([3.0])).tolist() == [3.0]
    assert not advantages.whitened(torch.full((5,), 2.0)).any()
