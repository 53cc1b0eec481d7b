import torch
import torch.nn.functional as F

from tunesmith.models.recompute import recomputed


def _network(keep: bool, count: list[int]):
    torch.manual_seed(0)
    x = torch.randn(5, 4, requires_grad=True)
    weight = torch.randn(3, 4, requires_grad=True)

    def again():
        count.append(1)
        return x.detach().sin()

    inner = x.sin()
    if keep:
        y = F.linear(inner.view(5, 4), weight)
    else:
        with recomputed(inner, again):
            y = F.linear(inner.view(5, 4), weight)
    y.square().sum().backward()
    return x.grad, weight.grad


def test_gradients_are_the_same_and_the_value_is_made_again():
    count: list[int] = []
    kept = _network(True, count)
    assert count == []
    again = _network(False, count)
    assert count == [1]
    assert all(torch.equal(a, b) for a, b in zip(kept, again, strict=True))


def test_what_is_saved_is_let_go():
    x = torch.randn(1000, 100, requires_grad=True)
    inner = x.sin()
    with recomputed(inner, lambda: x.detach().sin()):
        y = F.linear(inner, torch.ones(2, 100, requires_grad=True))
    weak = inner.untyped_storage()._weak_ref()
    del inner
    assert torch.UntypedStorage._expired(weak)
    y.sum().backward()
    assert torch.allclose(x.grad, 2 * x.detach().cos())


def test_other_tensors_are_kept_as_they_are():
    a, b = torch.randn(3, requires_grad=True), torch.randn(3, requires_grad=True)
    with recomputed(torch.randn(3), lambda: 1 / 0):
        product = a * b
    product.sum().backward()
    assert torch.equal(a.grad, b)
