"""Two adapters side by side: the same base, the same layers, and how far apart their updates are.

cosine = <D, E> / |D| |E|      distance = |D - E| / |D|      D, E the updates of one layer, or of all of them
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from tunesmith.combine.read import Parts, inner

Products = dict[str, tuple[float, float, float]]  # name: <D, D>, <E, E>, <D, E>


@dataclass(frozen=True, slots=True)
class Near:
    """How alike two updates are."""

    cosine: float  # 1: the same direction; 0: nothing in common
    distance: float  # as a share of the first

    @classmethod
    def of(cls, first: float, second: float, both: float) -> "Near":
        if not first or not second:
            return cls(0.0, math.inf if second else 0.0)
        return cls(both / math.sqrt(first * second), math.sqrt(max(first + second - 2 * both, 0.0) / first))


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two adapters have in common."""

    equal: bool  # the same identity
    same_kind: bool
    base: Literal["same", "different", "unknown"]
    only_first: tuple[str, ...]  # layers
    only_second: tuple[str, ...]
    other_shape: tuple[str, ...]
    layers: dict[str, Near]
    total: Near | None  # None when they have no layer in common


def compare(first: Parts, second: Parts) -> Comparison:
    """LoRA by its updates; of other kinds, and of experts in stacks, tensor by tensor."""
    known = first.fingerprint, second.fingerprint
    same_kind = first.kind == second.kind and first.stacked == second.stacked
    shapes, others = _shapes(first), _shapes(second)
    both = [name for name in shapes if name in others] if same_kind else []
    alike = [name for name in both if shapes[name] == others[name]]
    products = _products(first, second, alike)
    sums = [sum(one[i] for one in products.values()) for i in range(3)]
    return Comparison(
        equal=first.id == second.id,
        same_kind=same_kind,
        base="unknown" if None in known else "same" if known[0] == known[1] else "different",
        only_first=tuple(name for name in shapes if name not in others),
        only_second=tuple(name for name in others if name not in shapes),
        other_shape=tuple(name for name in both if name not in alike),
        layers={name: Near.of(*one) for name, one in products.items()},
        total=Near.of(*sums) if products else None,
    )


def _shapes(parts: Parts) -> Mapping[str, tuple[int, ...]]:
    if parts.kind == "lora" and not parts.stacked:
        return {name: (f.up.shape[0], *f.down.shape[1:]) for name, f in parts.factors.items()}
    return {name: tuple(tensor.shape) for name, tensor in parts.tensors.items()}


def _products(first: Parts, second: Parts, names: list[str]) -> Products:
    if first.kind == "lora" and not first.stacked:
        pairs = {name: (first.factors[name], second.factors[name]) for name in names}
        return {name: (inner(a, a), inner(b, b), inner(a, b)) for name, (a, b) in pairs.items()}
    tensors = {name: (first.tensors[name], second.tensors[name]) for name in names}
    return {name: (_dot(a, a), _dot(b, b), _dot(a, b)) for name, (a, b) in tensors.items()}


def _dot(a: Tensor, b: Tensor) -> float:
    return float((a.double() * b.double()).sum())
