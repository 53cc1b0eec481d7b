"""Draw a LoRA out of a fully tuned model: what changed in each layer, as well as a low rank can hold it.

D = W_tuned - W_base        B A = the best approximation of D of rank R        error = |D - B A| / |D|

Shapes: E experts, I inputs, O outputs, R rank.
"""

import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tunesmith.combine.read import best_of_rank
from tunesmith.core.errors import UserError
from tunesmith.core.layers import weight_of
from tunesmith.export.adapter import write_adapter
from tunesmith.export.folder import refuse_taken
from tunesmith.fresh import fresh_logits, logits_of
from tunesmith.merge import LONGEST, TEXTS, Drift, drift
from tunesmith.methods.experts import is_transposed_stack
from tunesmith.methods.inject import ALL_LINEAR, find_targets
from tunesmith.methods.lora import LoRA
from tunesmith.methods.lora_file import updates
from tunesmith.models.load import Base


@dataclass(frozen=True, slots=True)
class Size:
    """How large a rank may be: `rank` itself, or as many directions as hold the `share` of the squares."""

    rank: int | None = None
    share: float | None = None

    def of(self, squares: Tensor) -> int:
        """(n,), the squares of the singular values, largest first -> the rank."""
        if self.share is None:
            assert self.rank is not None
            return min(self.rank, len(squares))
        reached = squares.cumsum(0) >= self.share * squares.sum()
        return min(int(reached.int().argmax()) + 1, self.rank or len(squares))


@dataclass(frozen=True, slots=True)
class Layer:
    """What was drawn from one layer."""

    rank: int
    change: float  # |D|
    error: float  # as a share of |D|


@dataclass(frozen=True, slots=True)
class Extracted:
    """An adapter that was read back and compared with the tuned model."""

    folder: Path
    layers: dict[str, Layer]
    left: dict[str, float]  # |D| of what no low rank is drawn from: norms, biases, embeddings
    error: float  # of everything that changed
    with_adapter: Drift  # the base with the adapter, from the tuned model
    without: Drift  # the base alone, from the tuned model


def extract(tuned: Base, base: Base, output: Path, size: Size) -> Extracted:
    """Write to `output` the adapter that brings `base` nearest to `tuned`; both are open in float32.

    Raises UserError, with nothing written, for models of different shapes and for equal ones.
    """
    refuse_taken(output)
    refuse_size(size)
    refuse_other_shapes(tuned, base)
    rows = [base.tokenizer(text)["input_ids"][:LONGEST] for text in TEXTS]
    wanted, alone = logits_of(tuned.network, rows), logits_of(base.network, rows)
    layers: dict[str, Layer] = {}
    factors: dict[str, tuple[Tensor, Tensor]] = {}
    for name, change, transposed in _changes(tuned.network, base.network):
        layers[name], factors[name] = _drawn(change.mT if transposed else change, size)
    left = _left(tuned.network, base.network, set(layers))
    if not layers:
        raise UserError(f"{tuned.folder}: no layer differs from {base.name}; there is nothing to draw out")
    error = _whole_error(layers, left)
    made = {"extracted": tuned.name, "error": error, "layers": _told(layers), "left": left}
    _write(base, output, layers, factors, made)
    try:
        found = fresh_logits(base.folder, rows, adapter=output, dtype=torch.float32)
    except BaseException:
        shutil.rmtree(output, ignore_errors=True)
        raise
    return Extracted(output, layers, left, error, drift(wanted, found), drift(wanted, alone))


def _changes(tuned: nn.Module, base: nn.Module) -> Iterator[tuple[str, Tensor, bool]]:
    """-> of each layer that differs its name, the change (O, I) or (E, O, I), and whether it lies as (E, I, O)."""
    others = find_targets(tuned, ALL_LINEAR)
    for name, own in find_targets(base, ALL_LINEAR).items():
        other = others[name]
        if isinstance(own, nn.Parameter) or isinstance(other, nn.Parameter):
            assert isinstance(own, nn.Parameter) and isinstance(other, nn.Parameter)
            change, transposed = other.detach() - own.detach(), is_transposed_stack(base, name)
        else:
            change = (weight_of(other, torch.float32) - weight_of(own, torch.float32)).detach()
            transposed = False
        if change.any():
            yield name, change, transposed


def _drawn(change: Tensor, size: Size) -> tuple[Layer, tuple[Tensor, Tensor]]:
    """(O, I), or (E, O, I) with one rank for all experts -> what is told of it; A and B as LoRA keeps them."""
    stack = change.double().view(-1, *change.shape[-2:])  # (E, O, I)
    parts = [best_of_rank(one, min(one.shape)) for one in stack]
    squares = [values.square() for _, _, values in parts]
    rank = max(size.of(one) for one in squares)
    down = torch.cat([a[:rank] for a, _, _ in parts])  # (E R, I)
    up = torch.stack([b[:, :rank] for _, b, _ in parts], 2).flatten(1)  # (O, R E)
    total, beyond = (float(sum(one[start:].sum() for one in squares)) for start in (0, rank))
    return Layer(rank, math.sqrt(total), math.sqrt(beyond / total)), (down.float(), up.float())


def _left(tuned: nn.Module, base: nn.Module, drawn: set[str]) -> dict[str, float]:
    """-> name: |D| of every other parameter that changed; a weight that two modules share counts once."""
    others = dict(tuned.named_parameters(remove_duplicate=False))
    found = {}
    for name, own in base.named_parameters():
        if name not in drawn and name.removesuffix(".weight") not in drawn:
            change = float((others[name].detach() - own.detach()).double().norm())
            if change:
                found[name] = change
    return found


def _write(
    base: Base, output: Path, layers: dict[str, Layer], factors: dict[str, tuple[Tensor, Tensor]], made: dict[str, Any]
) -> None:
    """Through LoRA itself, which knows every family's names."""
    rank = max(layer.rank for layer in layers.values())
    ranks = {name: layer.rank for name, layer in layers.items()}
    alphas = {name: float(own) for name, own in ranks.items()}
    method = LoRA(rank=rank, alpha=rank, targets=tuple(layers), ranks=ranks, alphas=alphas)
    method.attach(base.network)
    try:
        with torch.no_grad():
            for name, update in updates(base.network).items():
                update.down.copy_(factors[name][0])
                update.up.copy_(factors[name][1])
        stored, described = method.stored(base.network), method.described(base.network)
        write_adapter(output, stored, described, base_name=base.name, base_fingerprint=base.fingerprint, made=made)
    finally:
        method.detach(base.network)


def _whole_error(layers: dict[str, Layer], left: dict[str, float]) -> float:
    """-> of all that changed, the share that the adapter does not hold."""
    others = sum(one**2 for one in left.values())
    total = others + sum(one.change**2 for one in layers.values())
    return math.sqrt((others + sum((one.change * one.error) ** 2 for one in layers.values())) / total)


def _told(layers: dict[str, Layer]) -> dict[str, Any]:
    return {name: {"rank": one.rank, "change": one.change, "error": one.error} for name, one in layers.items()}


def refuse_size(size: Size) -> None:
    if size.rank is None and size.share is None:
        raise UserError("extract: give a rank, or the share of the change that the adapter must hold")
    if size.rank is not None and not 1 <= size.rank <= 4096:
        raise UserError(f"rank: must be from 1 to 4096, not {size.rank}")
    if size.share is not None and not 0 < size.share <= 1:
        raise UserError(f"share: must be above 0 and at most 1, not {size.share:g}")


def refuse_other_shapes(tuned: Base, base: Base) -> None:
    """UserError when one of the two cannot have been tuned from the other."""
    own, other = (dict(b.network.named_parameters(remove_duplicate=False)) for b in (base, tuned))
    for name in {**own, **other}:
        here, there = (tuple(p[name].shape) if name in p else None for p in (own, other))
        if here != there:
            raise UserError(
                f"{tuned.folder}: `{name}` has shape {there or 'none'}, {base.name} has {here or 'none'}; "
                "name the base that it was tuned from"
            )
