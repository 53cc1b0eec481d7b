import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from tests.train.tiny_run import Tiny, Wide
from tunesmith.core.errors import UserError
from tunesmith.train.config import OptimizerKind
from tunesmith.train.optimizer import Optimizer, refuse_optimizer


def make(model: nn.Module, decay: float = 0.1, kind: OptimizerKind = "adamw") -> Optimizer:
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    return Optimizer(parameters, weight_decay=decay, betas=(0.9, 0.99), kind=kind)


def push(model: nn.Module, optimizer: Optimizer, seed: int, size: float = 1.0) -> None:
    dice = torch.Generator().manual_seed(seed)
    for p in model.parameters():
        if p.requires_grad:
            p.grad = (torch.randn(p.shape, generator=dice) * size).to(p.dtype)
    optimizer.collect()
    optimizer.step(0.01)
    optimizer.clear()


def test_matrices_decay_and_vectors_do_not() -> None:
    """The formula of the paper, by hand, for three steps."""
    model = Tiny()
    optimizer = make(model)
    expected = {name: p.detach().double().clone() for name, p in model.named_parameters() if p.requires_grad}
    moments = {name: (torch.zeros_like(v), torch.zeros_like(v)) for name, v in expected.items()}
    for t in (1, 2, 3):
        dice = torch.Generator().manual_seed(t)
        for name, value in expected.items():
            g = torch.randn(value.shape, generator=dice).double()
            m, v = moments[name]
            m.mul_(0.9).add_(0.1 * g)
            v.mul_(0.99).add_(0.01 * g * g)
            if value.ndim >= 2:
                value.mul_(1 - 0.01 * 0.1)
            value.sub_(0.01 * (m / (1 - 0.9**t)) / ((v / (1 - 0.99**t)).sqrt() + 1e-8))
        push(model, optimizer, t)
    for name, value in expected.items():
        torch.testing.assert_close(model.get_parameter(name).double(), value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["adamw", "adamw8bit"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_state_goes_through_a_file_exactly(dtype: torch.dtype, kind: OptimizerKind) -> None:
    straight, first = Wide(dtype=dtype), Wide(dtype=dtype)
    optimizer = make(straight, kind=kind)
    for seed in range(4):
        push(straight, optimizer, seed)
    half = make(first, kind=kind)
    for seed in range(2):
        push(first, half, seed)
    stored = load(save({name: value.contiguous() for name, value in half.state().items()}))
    second = Wide(dtype=dtype)
    second.load_state_dict(first.state_dict())
    rest = make(second, kind=kind)
    rest.load(stored)
    for seed in range(2, 4):
        push(second, rest, seed)
    assert all(torch.equal(a, b) for a, b in zip(straight.parameters(), second.parameters(), strict=True))
    assert set(optimizer.state()) == set(rest.state())
    assert all(torch.equal(value, rest.state()[name]) for name, value in optimizer.state().items())
    assert any(name.startswith("master/") for name in stored) == (dtype == torch.bfloat16)


def test_small_updates_of_bfloat16_are_not_lost() -> None:
    weight = nn.Parameter(torch.ones(4, 4, dtype=torch.bfloat16))
    optimizer = Optimizer({"w": weight}, weight_decay=0.0, betas=(0.9, 0.999))
    for _ in range(100):
        weight.grad = torch.ones_like(weight)
        optimizer.collect()
        optimizer.step(1e-4)  # 1/10,000 at a time: one alone is below what bfloat16 can show beside 1
        optimizer.clear()
    assert weight[0, 0].item() == pytest.approx(0.99, abs=0.004)


def test_gradients_of_bfloat16_add_up_in_float32() -> None:
    weight = nn.Parameter(torch.ones(2, 2, dtype=torch.bfloat16))
    optimizer = Optimizer({"w": weight}, weight_decay=0.0, betas=(0.9, 0.999))
    for value in (1.0, 2**-10):
        weight.grad = torch.full_like(weight, value)
        optimizer.collect()
    assert float(optimizer.gradients()["w"][0, 0]) == 1 + 2**-10
    optimizer.clear()
    assert not optimizer.gradients()


def test_a_parameter_may_get_a_multiple_of_the_rate() -> None:
    """AdamW's first step is as long as its rate, whatever the gradient."""
    a, b = nn.Parameter(torch.zeros(3, 3)), nn.Parameter(torch.zeros(3, 3))
    optimizer = Optimizer({"a": a, "b": b}, weight_decay=0.0, betas=(0.9, 0.99), rates={"b": 16.0})
    a.grad, b.grad = torch.ones(3, 3), torch.ones(3, 3)
    optimizer.step(0.001)
    torch.testing.assert_close(a.detach(), torch.full((3, 3), -0.001))
    torch.testing.assert_close(b.detach(), torch.full((3, 3), -0.016))


def test_moments_in_8_bits_take_a_quarter_and_lead_to_the_same_place() -> None:
    plain, packed = Wide(), Wide()
    ways = [(plain, make(plain)), (packed, make(packed, kind="adamw8bit"))]
    start = {name: p.detach().clone() for name, p in plain.named_parameters()}
    for model, optimizer in ways:
        for seed in range(20):
            push(model, optimizer, seed % 3)
    moved = {name: p - start[name] for name, p in plain.named_parameters() if p.requires_grad}
    for name, p in packed.named_parameters():
        if p.requires_grad:
            apart = (p - start[name] - moved[name]).norm() / moved[name].norm()
            assert apart.item() < (0.05 if p.numel() >= 4096 else 1e-5), name
    sizes = [
        sum(t.nbytes for key, t in optimizer.state().items() if key.endswith("hidden.0.weight"))
        for _, optimizer in ways
    ]
    assert sizes[1] < 0.27 * sizes[0]


def test_what_the_device_cannot_run_is_refused_in_a_line() -> None:
    with pytest.raises(UserError, match=r"^train\.optimizer: paged_adamw8bit needs a GPU.*adamw8bit$"):
        refuse_optimizer("paged_adamw8bit", torch.device("cpu"))
    refuse_optimizer("paged_adamw8bit", torch.device("cuda"))
    refuse_optimizer("adamw8bit", torch.device("cpu"))
