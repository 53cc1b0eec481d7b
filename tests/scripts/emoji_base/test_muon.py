import pytest
import torch
from torch import nn

from scripts.emoji_base.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(16, 16), (8, 40), (40, 8)])
def test_singular_values_come_near_one(shape: tuple[int, int]):
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    made = orthogonal(matrix)
    values = torch.linalg.svdvals(made)
    assert made.shape == matrix.shape
    assert values.min() > 0.2 and values.max() < 1.3  # noise in all directions, square ones the hardest
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    assert torch.cosine_similarity(made.flatten(), (u @ v).flatten(), dim=0) > 0.93


def test_a_step_has_its_size_whatever_the_gradient():
    torch.manual_seed(0)
    moved = []
    for scale in (2.0**-6, 2.0**6):
        weight = nn.Parameter(torch.zeros(8, 2, 3, 3))
        weight.grad = scale * torch.randn(8, 2, 3, 3, generator=torch.Generator().manual_seed(1))
        Muon([weight], lr=0.1).step()
        moved.append(weight.detach())
    assert torch.allclose(*moved, atol=6e-3)
    values = torch.linalg.svdvals(moved[0].flatten(1))
    assert 0.02 < values.min() <= values.max() < 0.13
