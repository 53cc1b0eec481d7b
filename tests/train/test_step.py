import math

import pytest
import torch
from torch import nn

from tests.train.tiny_run import ROWS, WORLD, Tiny, next_token
from tunesmith.core.batch import Batch, TokenBatch, pack
from tunesmith.core.errors import UserError
from tunesmith.core.loss import Loss
from tunesmith.train.optimizer import Optimizer
from tunesmith.train.size import cut, measure
from tunesmith.train.step import NotFinite, Stepper

WHOLE = pack(ROWS[:8])


def make(objective=next_token, clip: float | None = None, dropout: float = 0.0) -> Stepper:
    model = Tiny(dropout)
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    return Stepper(model, objective, Optimizer(parameters, weight_decay=0.0, betas=(0.9, 0.999)), WORLD, clip=clip)


def weights(stepper: Stepper) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in stepper.model.named_parameters()}


def gradient(stepper: Stepper, passes: list[Batch]) -> tuple[torch.Tensor, dict[str, float]]:
    """-> the gradient that the optimizer was given, and the metrics."""
    seen: list[torch.Tensor] = []
    stepper.optimizer.step = lambda rate: seen.append(  # type: ignore[method-assign]
        torch.cat([g.flatten().clone() for g in stepper.optimizer.gradients().values()])
    )
    metrics = stepper.step(passes, 0.1)
    return seen[0], metrics


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return bool((a - b).norm() <= 1e-6 * b.norm())


@pytest.mark.parametrize("sizes", [[4, 4], [1, 7], [2, 2, 2, 2], [1] * 8, [3, 5]])
def test_the_gradient_does_not_depend_on_the_cut(sizes: list[int]) -> None:
    whole, expected = gradient(make(), [WHOLE])
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    passes = [pack(ROWS[start : start + size]) for start, size in zip(starts, sizes, strict=True)]
    found, metrics = gradient(make(), passes)
    assert close(found, whole)
    assert metrics["loss"] == pytest.approx(expected["loss"], rel=1e-6)


def test_the_gradient_is_the_mean_over_units() -> None:
    stepper = make()
    (next_token(stepper.model, WHOLE).total / WHOLE.units).backward()
    by_hand = torch.cat([p.grad.flatten() for p in stepper.model.parameters() if p.grad is not None])
    found, metrics = gradient(make(), [WHOLE])
    assert close(found, by_hand)
    assert metrics["loss"] == pytest.approx(next_token(stepper.model, WHOLE).total.item() / WHOLE.units, rel=1e-6)
    assert metrics["grad_norm"] == pytest.approx(float(by_hand.norm()), rel=1e-6)


class Short:
    """A memory of `room` tokens. It runs out after a part of the gradients is there, as a real one does."""

    def __init__(self, room: int, error: Exception) -> None:
        self.room, self.error, self.passes = room, error, 0

    def __call__(self, model: nn.Module, batch: TokenBatch) -> Loss:
        self.passes += 1
        loss = next_token(model, batch)
        if len(batch.tokens) > self.room:
            half = loss.total * 0.5
            half.backward()
            raise self.error
        return loss


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried"),
        MemoryError(),
    ],
)
def test_a_pass_that_does_not_fit_is_cut_and_the_gradient_stays(error: Exception) -> None:
    whole, _ = gradient(make(), [WHOLE])
    short = Short(25, error)
    stepper = make(short)
    first, second = WHOLE.halves() or (WHOLE, WHOLE)
    found, _ = gradient(stepper, [first, second])
    assert close(found, whole)
    assert stepper.limit is not None and stepper.limit <= 25
    tries = short.passes
    gradient(stepper, [WHOLE])
    assert short.passes - tries == len(cut([WHOLE], stepper.limit)), "the size that fits was not remembered"


def test_a_step_that_was_cut_equals_one_cut_from_the_start_dropout_too() -> None:
    stepper, other = make(Short(25, MemoryError()), dropout=0.3), make(dropout=0.3)
    torch.manual_seed(3)
    found, _ = gradient(stepper, [WHOLE])
    torch.manual_seed(3)
    expected, _ = gradient(other, cut([WHOLE], stepper.limit))
    assert torch.equal(found, expected)


def test_an_example_that_does_not_fit_alone_is_named() -> None:
    longest = max(ROWS[:8], key=len)
    with pytest.raises(UserError, match=rf"row {longest.row}: {len(longest)} tokens do not fit"):
        make(Short(len(longest) - 1, MemoryError())).step([WHOLE], 0.1)


def test_another_error_is_not_taken_for_memory() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        make(Short(1, RuntimeError("shapes differ"))).step([WHOLE], 0.1)


def poisoned_loss(model: nn.Module, batch: TokenBatch) -> Loss:
    loss = next_token(model, batch)
    return Loss(loss.total * (math.nan if 3 in batch.rows else 1.0))


def test_a_loss_that_is_not_a_number_changes_nothing() -> None:
    stepper = make(poisoned_loss)
    before = weights(stepper)
    with pytest.raises(NotFinite, match=r"loss is nan in rows 3, 4$"):
        stepper.step([pack(ROWS[0:2]), pack(ROWS[2:4])], 0.1)
    assert all(torch.equal(value, before[name]) for name, value in weights(stepper).items())
    assert not stepper.optimizer.gradients() and not any(k.startswith("step") for k in stepper.optimizer.state())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_gradient_that_is_not_a_number_changes_nothing(value: float) -> None:
    stepper = make(clip=1.0)

    def poison(gradient: torch.Tensor) -> torch.Tensor:
        gradient = gradient.clone()
        gradient[0] = value
        return gradient

    stepper.model.hidden.bias.register_hook(poison)  # type: ignore[union-attr]
    before = weights(stepper)
    with pytest.raises(NotFinite, match=r"gradient of hidden.bias .* in rows 1, 2"):
        stepper.step([WHOLE], 0.1)
    assert all(torch.equal(kept, before[name]) for name, kept in weights(stepper).items())


def test_nothing_to_learn_from_is_an_error() -> None:
    with pytest.raises(NotFinite, match="no trained token in row 1"):
        make().step([pack([type(ROWS[0])(ROWS[0].tokens, [False] * len(ROWS[0]), 1)])], 0.1)


def test_clipping_shortens_the_gradient_and_tells_its_length() -> None:
    free, expected = gradient(make(), [WHOLE])
    clipped, metrics = gradient(make(clip=0.1), [WHOLE])
    assert metrics["grad_norm"] == expected["grad_norm"] > 0.1
    assert float(clipped.norm()) == pytest.approx(0.1, rel=1e-4)
    assert torch.allclose(clipped / clipped.norm(), free / free.norm(), atol=1e-6)


def test_a_step_changes_what_trains_and_nothing_else() -> None:
    stepper = make()
    before = weights(stepper)
    stepper.step([WHOLE], 0.1)
    for name, value in weights(stepper).items():
        assert torch.equal(value, before[name]) == name.startswith("frozen"), name


def test_size_counts_and_cut_keeps_the_examples() -> None:
    size = measure(WHOLE)
    assert (size.examples, size.tokens, size.trained) == (8, sum(WHOLE.lengths), WHOLE.units)
    parts = cut([WHOLE], 20)
    assert [row for part in parts for row in part.rows] == list(WHOLE.rows)
    assert all(measure(part).tokens <= 20 for part in parts)
    assert len(cut([WHOLE], 1)) == 8
