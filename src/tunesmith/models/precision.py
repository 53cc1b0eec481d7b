"""Which number format is fast here: measured in a tenth of a second, not looked up."""

import time
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F

Precision = Literal["float32", "bfloat16"]
WORTH = 1.3  # bfloat16 must be so much faster, for it costs digits


@dataclass(frozen=True, slots=True)
class Probe:
    """What was chosen and why."""

    precision: Precision
    reason: str

    @property
    def dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.precision == "bfloat16" else torch.float32


def choose(asked: Literal["auto", "float32", "bfloat16"], device: torch.device) -> Probe:
    """The asked precision, or the one that a product of typical size shows to be worth it."""
    if asked != "auto":
        return Probe(asked, "as the recipe says")
    if device.type == "cuda":
        fits = torch.cuda.is_bf16_supported()
        return Probe("bfloat16" if fits else "float32", f"the GPU {'computes' if fits else 'does not compute'} in it")
    slow, fast = (_rate(dtype) for dtype in (torch.float32, torch.bfloat16))
    reason = f"products run at {fast:.0f} GFLOP/s in bfloat16 and {slow:.0f} in float32 on this machine"
    return Probe("bfloat16" if fast >= WORTH * slow else "float32", reason)


def _rate(dtype: torch.dtype) -> float:
    """-> GFLOP/s of a product of 512 tokens with a layer of 768 by 1536, the best of five."""
    tokens, inner, outer = 512, 768, 1536
    x, weight = torch.ones(tokens, inner, dtype=dtype), torch.ones(outer, inner, dtype=dtype)
    F.linear(x, weight)  # the first one prepares the kernel
    seconds = []
    for _ in range(5):
        begin = time.perf_counter()
        F.linear(x, weight)
        seconds.append(time.perf_counter() - begin)
    return 2 * tokens * inner * outer / min(seconds) / 1e9
