"""Our adapters and PEFT's on the same tiny networks, so that either can be held to the other."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import peft
import torch
from torch import Tensor, nn

from tests.families import VOCABULARY, tiny
from tunesmith.attached import attach_adapter
from tunesmith.core.layers import is_transposed
from tunesmith.export.adapter import write_adapter

ROW = torch.randint(VOCABULARY, (1, 24), generator=torch.Generator().manual_seed(5))
HASH = "0" * 64


@torch.no_grad()
def logits(network: Any) -> Tensor:
    return network(input_ids=ROW, use_cache=False).logits[0].float()


def far(a: Tensor, b: Tensor) -> float:
    """Largest difference as a share of the largest value."""
    return ((a - b).abs().max() / b.abs().max()).item()


def stir(network: nn.Module, seed: int = 1) -> None:
    """Give everything that trains random values, as if it had been trained hard."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=draw))


def ours(family: str, folder: Path, method: Any) -> tuple[nn.Module, Path]:
    """-> a network with `method` attached and stirred, and the folder that it was written to."""
    network = tiny(family)
    method.attach(network)
    stir(network)
    write_adapter(folder, method.stored(network), method.described(network), base_name=family, base_fingerprint=HASH)
    return network.eval(), folder


def theirs(family: str, folder: Path, **config: Any) -> tuple[nn.Module, Path]:
    """-> PEFT's network, stirred, and the folder that PEFT wrote it to."""
    base = tiny(family)
    transposed = any(is_transposed(module) for module in base.modules())
    asked = peft.LoraConfig(task_type="CAUSAL_LM", fan_in_fan_out=transposed, **config)
    network = peft.get_peft_model(base, asked)
    stir(network)
    network.save_pretrained(folder)
    return network.eval(), folder


def read_by_peft(family: str, folder: Path) -> nn.Module:
    return peft.PeftModel.from_pretrained(tiny(family), folder).eval()


def read_by_us(family: str, folder: Path) -> nn.Module:
    network = tiny(family)
    attach_adapter(network, folder)
    return network.eval()


def described_by(config: Mapping[str, Any], keys: set[str]) -> dict[str, Any]:
    """The chosen keys, with lists of names in one order."""
    return {k: sorted(v) if isinstance(v, list) else v for k, v in config.items() if k in keys}
