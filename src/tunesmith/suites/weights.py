"""How much of the weights a tuning changed, block by block: |D| / |W|, D the update of a layer, W what the base has."""

import math
import re
from collections.abc import Iterator
from typing import Any

import torch

from tunesmith.core.layers import is_linear_map, weight_of
from tunesmith.methods.layer import Layer
from tunesmith.suites.sides import Sides

_BLOCK = re.compile(r"\.(?:layers|h|blocks|layer)\.(\d+)\.")
Change = tuple[str, float, float]
"""The name of a layer, |D|^2 and |W|^2."""


@torch.no_grad()
def weight_change(sides: Sides) -> list[dict[str, Any]]:
    """-> a row for each block that changed; none where the method leaves weights as they are (a prefix, ...)."""
    sums: dict[str, tuple[float, float, int]] = {}
    for name, change, size in _of_full(sides) if sides.opened.recipe.method.kind == "full" else _of_layers(sides):
        found = _BLOCK.search(f".{name}.")
        place = f"block {int(found[1]) + 1}" if found else "outside of the blocks"
        before = sums.get(place, (0.0, 0.0, 0))
        sums[place] = (before[0] + change, before[1] + size, before[2] + 1)
    return [
        {"layer": place, "change": math.sqrt(change / size) if size else 0.0, "weights": count}
        for place, (change, size, count) in sums.items()
    ]


def _of_layers(sides: Sides) -> Iterator[Change]:
    module: Any
    for name, module in sides.model.network.named_modules():
        whole: Any = getattr(module, "whole", None)  # of LoRA and its relatives
        if isinstance(module, Layer) and whole is not None and is_linear_map(module.root):
            before = weight_of(module.root, torch.float32).float()
            yield name, *_sizes(before, whole(before))


def _of_full(sides: Sides) -> Iterator[Change]:
    with sides.base() as base:
        before = dict(base.model.network.named_parameters())
    for name, weight in sides.model.network.named_parameters():
        yield name, *_sizes(before[name].float(), weight.float())


def _sizes(before: torch.Tensor, after: torch.Tensor) -> tuple[float, float]:
    return float((after - before).double().square().sum()), float(before.double().square().sum())
