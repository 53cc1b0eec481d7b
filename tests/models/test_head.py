"""Log-probabilities of labels without logits: equal to the plain twin, over more tokens than one chunk holds."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.models.closeness import apart, gradients
from tunesmith.models import head
from tunesmith.models.head import choice_logprobs, distributions, label_logprobs, label_scores, plain_label_logprobs
from tunesmith.streams.taught import teachers

WIDTH, VOCABULARY = 12, 40


def _head(bias: bool = False) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(WIDTH, VOCABULARY, bias=bias).requires_grad_(False)


def _reference(hidden: Tensor, labels: Tensor, layer: nn.Module) -> Tensor:
    return torch.log_softmax(layer(hidden).float(), -1).gather(1, labels[:, None])[:, 0]


@pytest.mark.parametrize("count", [1, 4, 5, 13])
def test_a_frozen_head_equals_log_softmax(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "CHUNK", 4)
    layer = _head()
    hidden, labels = 3 * torch.randn(count, WIDTH), torch.randint(VOCABULARY, (count,))
    expected = gradients(lambda h: _reference(h, labels, layer), [hidden])
    assert apart(gradients(lambda h: label_logprobs(h, labels, layer, None), [hidden]), expected) < 1e-5
    assert apart(gradients(lambda h: plain_label_logprobs(h, labels, layer), [hidden]), expected) < 1e-5


@pytest.mark.parametrize("bias", [False, True])
def test_scores_are_the_same_numbers_and_know_the_most_likely(bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "CHUNK", 4)
    layer = _head(bias)
    hidden = 3 * torch.randn(13, WIDTH)
    labels = torch.where(torch.arange(13) % 2 == 0, layer(hidden).argmax(-1), torch.randint(VOCABULARY, (13,)))
    found = label_scores(hidden, labels, layer, None)
    assert torch.allclose(found[:, 0], _reference(hidden, labels, layer), atol=1e-5)
    assert torch.equal(found[:, 1].bool(), labels == layer(hidden).argmax(-1)) and 7 <= found[:, 1].sum() < 13


SHAPES: dict[str, Callable[[Tensor], Tensor]] = {"cap": lambda z: torch.tanh(z / 2) * 2, "scale": lambda z: z * 0.25}


@pytest.mark.parametrize("name", SHAPES)
def test_what_a_family_does_to_its_logits_counts(name: str) -> None:
    layer, shape = _head(), SHAPES[name]
    hidden, labels = 3 * torch.randn(7, WIDTH), torch.randint(VOCABULARY, (7,))
    expected = gradients(lambda h: _reference(h, labels, nn.Sequential(layer, _Shaped(shape))), [hidden])
    assert apart(gradients(lambda h: label_logprobs(h, labels, layer, shape), [hidden]), expected) < 1e-5


class _Shaped(nn.Module):
    def __init__(self, shape: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, z: Tensor) -> Tensor:
        return self.shape(z)


@pytest.mark.parametrize("bias", [False, True])
def test_a_head_that_trains_gets_its_gradient(bias: bool) -> None:
    layer = _head(bias).requires_grad_(True)
    hidden, labels = torch.randn(7, WIDTH), torch.randint(VOCABULARY, (7,))
    label_logprobs(hidden, labels, layer, None).sum().backward()
    ours = [p.grad for p in layer.parameters()]
    layer.zero_grad()
    _reference(hidden, labels, layer).sum().backward()
    assert apart([g for g in ours if g is not None], [p.grad for p in layer.parameters() if p.grad is not None]) < 1e-5
    assert None not in ours


def test_no_label_is_no_number() -> None:
    layer = _head()
    hidden = torch.randn(0, WIDTH, requires_grad=True)
    result = label_logprobs(hidden, torch.zeros(0, dtype=torch.long), layer, None)
    result.sum().backward()
    assert result.shape == (0,)
    assert hidden.grad is not None


@pytest.mark.parametrize("count", [1, 5, VOCABULARY, 100])
def test_several_tokens_for_each_place(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "CHUNK", 4)
    layer, hidden = _head(), 3 * torch.randn(13, WIDTH)
    choices, logprobs = teachers(distributions(hidden, layer, None, VOCABULARY), count)
    assert choices.shape == logprobs.shape == (13, min(count, VOCABULARY))
    assert torch.equal(choices[:, 0], layer(hidden).argmax(-1)) and (logprobs.diff(dim=1) <= 0).all()

    def reference(h: Tensor) -> Tensor:
        return torch.log_softmax(layer(h), -1).gather(1, choices).flatten()

    assert torch.allclose(logprobs.flatten(), reference(hidden), atol=1e-5)
    expected = gradients(reference, [hidden])
    assert apart(gradients(lambda h: choice_logprobs(h, choices, layer).flatten(), [hidden]), expected) < 1e-5
