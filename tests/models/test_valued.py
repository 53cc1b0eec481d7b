import pytest
import torch

from tests.families import tiny
from tests.objectives.rollouts import cuts
from tunesmith.core.rollouts import SIGNALS, Rollout, pack_rollouts, tree
from tunesmith.models.language import CausalLM
from tunesmith.models.valued import ValuedLM
from tunesmith.objectives.grpo import GRPO
from tunesmith.objectives.ppo import PPO
from tunesmith.objectives.rloo import RLOO


def rollouts():
    """Trees of random tokens: prompts that share a beginning of 20, answers of different lengths."""
    draw = torch.Generator().manual_seed(0)

    def random(count):
        return torch.randint(4, 320, (count,), generator=draw).tolist()

    shared, found = random(20), []
    for row, lengths in enumerate([(3, 1, 7, 2), (5, 5, 1, 9)]):
        answers = [random(n) for n in lengths]
        signals = {name: torch.randn(sum(lengths), generator=draw) for name in SIGNALS}
        signals["old"], signals["reference"] = -5 + signals["old"] / 5, -5 + signals["reference"] / 5
        found.append(Rollout(tree(shared + random(3 + row), answers, row), lengths, signals))
    return found


@pytest.mark.parametrize("objective", [GRPO(reward="x"), RLOO(reward="x"), PPO(reward="x", kl="penalty")])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_gradient_of_a_network_does_not_depend_on_packing_or_the_cut(family, objective):
    """Together, cut to single answers, and one prompt at a time."""
    model = ValuedLM(tiny(family))
    with torch.no_grad():
        model.value_head.weight.normal_(generator=torch.Generator().manual_seed(1))
    whole = pack_rollouts(rollouts())
    ways = [[whole], cuts(whole), [pack_rollouts([one]) for one in rollouts()]]
    assert whole.packed.shared and len(ways[1]) == 8
    found = []
    for passes in ways:
        model.zero_grad()
        for batch in passes:
            objective(model, batch).total.backward()
        found.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
    assert isinstance(objective, PPO) == ("value_head.weight" in found[0])
    for other in found[1:]:
        torch.testing.assert_close(found[0], other, atol=1e-3, rtol=1e-3)


def test_the_head_starts_at_nothing_and_changes_nothing_else():
    network = tiny("llama")
    model, plain = ValuedLM(network), CausalLM(network)
    batch = pack_rollouts(rollouts())
    logprobs, values = model.with_values(batch.packed)
    torch.testing.assert_close(logprobs, plain(batch.packed))
    assert values.shape == logprobs.shape and values.dtype == torch.float32 and not values.any()
    assert not [name for name, _ in network.named_parameters() if "value" in name]
    assert {name for name, _ in model.named_parameters() if "value" in name} == {"value_head.weight", "value_head.bias"}
