"""Several adapters of one kind become one, with PEFT's formulas; the result is an adapter like any other.

Of factors (linear, ties, ...): A = f(sign(w s) |w s|^1/2 A_i), B = f(|w s|^1/2 B_i)     equal ranks
cat:                            A = [w s A_i], B = [B_i]                                 the ranks add up
Of whole updates (svd, ..._svd): the best rank-R part of f(s B_i A_i)

A layer that only some of them have is combined from those. https://github.com/huggingface/peft

Shapes: I inputs, O outputs, R rank.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tunesmith.combine.read import Factors, Parts, best_of_rank, read
from tunesmith.combine.way import Way, refuse_odd, refuse_shapes, refuse_strangers
from tunesmith.core.layers import Quantization
from tunesmith.export.adapter import base_quantize, write_adapter
from tunesmith.export.folder import refuse_taken

Weighted = list[tuple[Factors, float]]


@dataclass(frozen=True, slots=True)
class Combined:
    """What was written."""

    parts: Parts
    lost: float | None  # share of the updates that lies beyond the rank; None when nothing is cut off


def combine(folders: Sequence[Path], output: Path, way: Way) -> Combined:
    """Combine the adapters in `folders` and write the result to `output`.

    Raises UserError, with nothing written, for adapters that do not go together and for a taken `output`.
    """
    refuse_taken(output)
    refuse_odd(way, len(folders))
    adapters = [read(folder) for folder in folders]
    refuse_strangers(adapters)
    joined: dict[str, Factors] = {}
    total = beyond = 0.0
    for layer in _layers(adapters):
        own = [(a.factors[layer], w) for a, w in zip(adapters, way.weights, strict=True) if layer in a.factors]
        refuse_shapes(layer, [factors for factors, _ in own], way)
        joined[layer], values = join(layer, own, way)
        total += float(values.square().sum())
        beyond += float(values[joined[layer].rank :].square().sum())
    tensors = {}
    for layer, factors in joined.items():
        tensors[layer + factors.ends[0]], tensors[layer + factors.ends[1]] = factors.down, factors.up
    made = {
        "combined": [{"id": a.id, "weight": w} for a, w in zip(adapters, way.weights, strict=True)],
        "how": way.how,
        "density": way.density,
        "seed": way.seed if "dare" in way.how else None,
    }
    known = next((a.fingerprint for a in adapters if a.fingerprint), None)
    base = next((a.base for a in adapters if a.base), "")
    write_adapter(
        output,
        tensors,
        described(joined, adapters),
        base_name=base,
        base_fingerprint=known,
        base_quantize=_common({base_quantize(folder) for folder in folders}),
        made=made,
    )
    return Combined(read(output), math.sqrt(beyond / total) if way.cuts and total else None)


def _common(packed: set[Quantization | None]) -> Quantization | None:
    """-> how the base is packed under all of them; adapters of differently packed bases meet over the dense one."""
    return packed.pop() if len(packed) == 1 else None


def join(layer: str, own: Weighted, way: Way) -> tuple[Factors, Tensor]:
    """-> one update, its scale 1, and the singular values of what it came from (empty where nothing is cut)."""
    first = own[0][0]
    if way.how == "cat":
        down = torch.cat([w * f.scale * f.down.float() for f, w in own])
        return Factors(down, torch.cat([f.up.float() for f, _ in own], 1), 1.0, first.ends), torch.empty(0)
    if way.cuts:
        rank = way.rank or max(f.rank for f, _ in own)
        down, up, values = _cut(own, rank, way, way.draw(layer))
        down, up = down.unflatten(1, first.down.shape[1:]), up.reshape(len(up), -1, *first.up.shape[2:])
        return Factors(down.float(), up.float(), 1.0, first.ends), values
    draw = way.draw(layer)
    strengths = [w * f.scale for f, w in own]
    downs = [math.copysign(math.sqrt(abs(s)), s) for s in strengths]
    down = way.formula.of([f.down.float() for f, _ in own], downs, draw)
    up = way.formula.of([f.up.float() for f, _ in own], [abs(s) for s in downs], draw)
    return Factors(down, up, 1.0, first.ends), torch.empty(0)


def _cut(own: Weighted, rank: int, way: Way, draw: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """-> A and B of `rank`, and all singular values. A plain sum is cut without making the whole update."""
    if way.how != "svd":
        whole = way.formula.of([f.whole for f, _ in own], [w for _, w in own], draw)
        return best_of_rank(whole.double(), rank)
    flat = [(w * a, b) for (a, b), w in ((f.flat, w) for f, w in own)]
    right, inner = torch.linalg.qr(torch.cat([a for a, _ in flat]).T)  # (I, R), (R, R)
    left, outer = torch.linalg.qr(torch.cat([b for _, b in flat], 1))  # (O, R), (R, R)
    down, up, values = best_of_rank(outer @ inner.T, rank)
    return down @ right.T, left @ up, values


def described(joined: dict[str, Factors], adapters: Sequence[Parts]) -> dict[str, Any]:
    """-> the configuration of the result: every scale is 1, so that alpha is the rank."""
    ranks = {layer: factors.rank for layer, factors in joined.items()}
    rank = Counter(ranks.values()).most_common(1)[0][0]
    others = {layer: own for layer, own in ranks.items() if own != rank}
    return {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": rank,
        "rank_pattern": others,
        "alpha_pattern": others,
        "target_modules": _targets(joined, adapters),
        "fan_in_fan_out": any(a.described.get("fan_in_fan_out") for a in adapters),
        "lora_dropout": 0.0,
        "use_rslora": False,
        "use_dora": False,
        "bias": "none",
        "init_lora_weights": True,
        "modules_to_save": None,
    }


def _targets(joined: dict[str, Factors], adapters: Sequence[Parts]) -> list[str]:
    """Ends of names where all of them use these and nothing else; full names otherwise."""
    wanted = [a.described.get("target_modules") for a in adapters]
    narrowed = any(a.described.get(key) for a in adapters for key in ("exclude_modules", "layers_to_transform"))
    if narrowed or not all(isinstance(names, list) for names in wanted):
        return sorted(joined)
    return sorted({name for names in wanted for name in names or []})


def _layers(adapters: Sequence[Parts]) -> list[str]:
    return list(dict.fromkeys(layer for adapter in adapters for layer in adapter.factors))
