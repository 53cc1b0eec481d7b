"""DoRA of convolutions against PEFT's: the same numbers and gradients, and the merged layer gives them too."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from tunesmith.core.errors import UserError
from tunesmith.methods.lora import LoRA


class Twice(nn.Module):
    """Two convolutions, one with a stride."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(4, 6, 3, padding=1)
        self.conv2 = nn.Conv2d(6, 5, 1, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv2(torch.relu(self.conv1(x)))


def test_they_are_those_of_peft_and_merge():
    torch.manual_seed(0)
    ours, theirs = Twice(), Twice()
    theirs.load_state_dict(ours.state_dict())
    method = LoRA(rank=3, alpha=6, targets=("conv1", "conv2"), magnitude=True)
    method.attach(ours)
    wanted = get_peft_model(theirs, LoraConfig(r=3, lora_alpha=6, target_modules=["conv1", "conv2"], use_dora=True))
    places = dict(wanted.named_parameters())
    pairs = [(tensor, places[f"base_model.model.{_of_peft(name)}"]) for name, tensor in method.stored(ours).items()]
    assert len(pairs) == 6
    with torch.no_grad():
        for own, other in pairs:
            own.add_(0.2 * torch.randn_like(own))
            other.copy_(own)
    x = torch.randn(2, 4, 8, 8)
    found, expected = ours(x), wanted(x)
    assert torch.allclose(found, expected, atol=1e-6)
    found.sum().backward()
    expected.sum().backward()
    assert all(torch.allclose(own.grad, other.grad, atol=1e-5) for own, other in pairs)
    method.merge(ours)
    assert torch.allclose(ours(x), expected, atol=1e-6)


def _of_peft(name: str) -> str:
    for end in ("lora_A", "lora_B"):
        name = name.replace(f"{end}.", f"{end}.default.")
    return name.replace("lora_magnitude_vector", "lora_magnitude_vector.default.weight")


def test_embeddings_have_none():
    network = nn.Sequential(nn.Embedding(8, 4))
    with pytest.raises(UserError, match=r"method\.magnitude: not over embeddings"):
        LoRA(rank=2, targets=("0",), magnitude=True).attach(network)
