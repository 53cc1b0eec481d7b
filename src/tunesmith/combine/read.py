"""An adapter as its files tell of it: what it is, what it belongs to, and the updates in it.

Shapes: I inputs, O outputs, R rank.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tunesmith.core.errors import UserError
from tunesmith.core.layers import Quantization
from tunesmith.export.adapter import FACTS, WEIGHTS, base_fingerprint, base_quantize, read_adapter
from tunesmith.export.identity import identity
from tunesmith.export.peft_config import NAME, parse_object
from tunesmith.export.tensors import PAIRS
from tunesmith.methods.peft_names import first_match

SMALL = 1e-4  # the root of a share of the largest singular value


@dataclass(frozen=True, slots=True)
class Factors:
    """The update of one layer: scale * B A."""

    down: Tensor  # A, (R, I); of a convolution (R, I, ...)
    up: Tensor  # B, (O, R); of a convolution (O, R, 1, ...)
    scale: float
    ends: tuple[str, str]  # of the names that A and B have in a file

    @property
    def rank(self) -> int:
        return self.down.shape[0]

    @property
    def flat(self) -> tuple[Tensor, Tensor]:
        """-> A (R, I) and B (O, R) in float64, the scale in B."""
        return self.down.double().flatten(1), self.scale * self.up.double().flatten(1)

    @property
    def whole(self) -> Tensor:
        """-> (O, I), the update itself, in float32."""
        return self.scale * (self.up.float().flatten(1) @ self.down.float().flatten(1))


@dataclass(frozen=True)
class Parts:
    """An adapter, read from `folder`."""

    folder: Path
    described: dict[str, Any]  # its `adapter_config.json`
    tensors: dict[str, Tensor]
    base: str | None  # by name
    fingerprint: str | None  # of the base, when the adapter knows it
    quantize: Quantization | None = None  # how the base was packed

    @cached_property
    def id(self) -> str:
        return identity(self.described, self.tensors)

    @property
    def kind(self) -> str:
        return str(self.described["peft_type"]).lower()

    @property
    def stacked(self) -> bool:
        """Whether it changes the experts of a mixture, whose factors lie in stacks."""
        return bool(self.described.get("target_parameters"))

    @property
    def bytes(self) -> int:
        return (self.folder / WEIGHTS).stat().st_size

    @property
    def ranks(self) -> list[int]:
        """-> the ranks that occur in it, in order; none when it is no LoRA."""
        if self.kind != "lora" or self.stacked:
            return []
        return sorted({factors.rank for factors in self.factors.values()})

    @cached_property
    def factors(self) -> dict[str, Factors]:
        """-> by the name of its layer, every update of a LoRA without stacks."""
        found = {}
        for name, down in self.tensors.items():
            ends = next((pair for pair in PAIRS if name.endswith(pair[0])), None)
            if ends is not None:
                layer = name.removesuffix(ends[0])
                up = self.tensors[layer + ends[1]]
                found[layer] = Factors(down, up, _scale(layer, down.shape[0], self.described), ends)
        return found


def _scale(layer: str, rank: int, described: Mapping[str, Any]) -> float:
    table, alpha = described.get("alpha_pattern") or {}, described.get("lora_alpha", 8)
    alpha = first_match(layer, table, alpha, "alpha_pattern")
    return float(alpha) / (math.sqrt(rank) if described.get("use_rslora") else rank)


def read(folder: Path) -> Parts:
    """The adapter in `folder`. Raises UserError, in one line, for whatever is damaged or no adapter."""
    described, tensors = read_adapter(folder)
    if described.get("task_type") == "SEQ_CLS":
        raise UserError(f"{folder}: brings a head of its own, and heads cannot be joined or compared")
    facts = parse_object(folder / FACTS).get("base") if (folder / FACTS).is_file() else None
    name = facts.get("name") if isinstance(facts, dict) else None
    name = name or described.get("base_model_name_or_path")
    return Parts(folder, described, tensors, name, base_fingerprint(folder), base_quantize(folder))


def listed(root: Path) -> Iterator[Parts | UserError]:
    """Every adapter in or below `root`, by name of its folder; for a damaged one, what is wrong with it."""
    if not root.is_dir():
        raise UserError(f"{root}: no such folder")
    for path in sorted(root.rglob(NAME)):
        try:
            yield read(path.parent)
        except UserError as error:
            yield error


def norms(parts: Parts) -> dict[str, float]:
    """-> by layer, the size of its update (Frobenius); of other kinds than LoRA, of each tensor."""
    if parts.kind != "lora" or parts.stacked:
        return {name: float(tensor.double().norm()) for name, tensor in parts.tensors.items()}
    return {name: math.sqrt(max(inner(one, one), 0.0)) for name, one in parts.factors.items()}


def inner(one: Factors, other: Factors) -> float:
    """-> the inner product of two updates of one layer, without making them."""
    (a, b), (c, d) = one.flat, other.flat
    return float(((b.T @ d) * (a @ c.T)).sum())


def best_of_rank(update: Tensor, rank: int) -> tuple[Tensor, Tensor, Tensor]:
    """(O, I) in float64 -> the A (R, I) and B (O, R) whose product is nearest to it, and all its singular values.

    By the eigenvectors of the smaller of U U' and U' U: several times faster than a decomposition of U itself, and in
    float64 exact to 1e-8 of the largest value, below which values count as zero.
    """
    tall = update.shape[0] > update.shape[1]
    flat = update.T if tall else update  # (n, m), n <= m
    squares, vectors = torch.linalg.eigh(flat @ flat.T)
    values, vectors = squares.flip(0).clamp_min(0).sqrt(), vectors.flip(1)[:, :rank]
    root = values[:rank].sqrt()
    inverse = torch.where(root > SMALL * root[0], 1 / root, 0.0)
    left, right = vectors * root, inverse[:, None] * (vectors.T @ flat)  # (n, R), (R, m)
    return (left.T, right.T, values) if tall else (right, left, values)
