"""Which number format is fast here: measured in a tenth of a second, not looked up."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F

Precision = Literal["float32", "bfloat16"]
TRIALS = 15  # a few milliseconds each
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
    slow, fast = _rates((torch.float32, torch.bfloat16))
    reason = f"products run at {fast:.0f} GFLOP/s in bfloat16 and {slow:.0f} in float32 on this machine"
    return Probe("bfloat16" if fast >= WORTH * slow else "float32", reason)


def _rates(dtypes: Sequence[torch.dtype]) -> list[float]:
    """-> GFLOP/s of a product of 512 tokens with a layer of 768 by 1536 in each type.

    The best of many short trials, in turns: on a busy machine most of them measure the neighbours.
    """
    tokens, inner, outer = 512, 768, 1536
    pairs = [(torch.ones(tokens, inner, dtype=t), torch.ones(outer, inner, dtype=t)) for t in dtypes]
    seconds = [float("inf")] * len(dtypes)
    for x, weight in pairs:
        F.linear(x, weight)  # the first one prepares the kernel
    for _ in range(TRIALS):
        for place, (x, weight) in enumerate(pairs):
            begin = time.perf_counter()
            F.linear(x, weight)
            seconds[place] = min(seconds[place], time.perf_counter() - begin)
    return [2 * tokens * inner * outer / best / 1e9 for best in seconds]
