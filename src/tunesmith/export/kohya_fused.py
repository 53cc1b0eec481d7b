"""Adapters of SD 3's and FLUX's transformers by their authors' names, which kohya's scripts, ComfyUI and Forge use.

There queries, keys and values are one layer. Three adapters beside each other are exactly one of the summed rank:

    [B_q A_q; B_k A_k; B_v A_v]  =  diag(B_q, B_k, B_v) [A_q; A_k; A_v]

and back: a member takes the ranks that its rows use, all of them where the members share A. LoHa splits by rows, too;
a Kronecker product does not, and keeps diffusers' names (`lora_transformer_`).
"""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from tunesmith.core.errors import UserError
from tunesmith.export.seats import Seat, turned
from tunesmith.export.tensors import MAGNITUDE, PAIRS
from tunesmith.export.transformer_names import FLUX_MODULES, SD3_MODULES, flux_module, sd3_module

DOWN, UP = PAIRS[0]
Layer = Mapping[str, Tensor]
Strength = tuple[int, float]
MODULES: Mapping[str, Callable[[str], Seat | None]] = {"sd3": sd3_module, "flux": flux_module}
"""The authors' name of a module, by family."""
_LINEAR1 = (1, 1, 1, 4)  # FLUX: queries, keys, values, and the first layer of the feed-forward
_ROWS = (".lora_up.weight", ".hada_w1_a", ".hada_w2_a", ".dora_scale")
"""The tensors of a layer with a row for each output."""


def fits(names: Mapping[str, Layer], family: str) -> bool:
    """Whether the layers of a transformer, by their names, can be written by the authors' names."""
    module = MODULES[family]
    there: dict[str, dict[int, Layer]] = {}
    for name, layer in names.items():
        seat = module(name)
        if seat is None or DOWN not in layer:
            return False
        there.setdefault(seat.name, {})[seat.place] = layer
    return all(  # a length is needed for every row, and of a member that is absent it is not known
        len(own) == len(_shares(name)) or not any(MAGNITUDE in layer for layer in own.values())
        for name, own in there.items()
    )


def fused(
    layers: Mapping[str, Layer], strengths: Mapping[str, Strength], family: str
) -> dict[str, tuple[dict[str, Tensor], float]]:
    """-> by the authors' names, the tensors by the ends of PEFT's names, and the alpha."""
    members: dict[str, dict[int, tuple[Layer, Strength]]] = {}
    for name, layer in layers.items():
        seat = MODULES[family](name)
        assert seat is not None
        turn = {end: layer[end] if end == DOWN else turned(layer[end], seat.turn) for end in layer}
        members.setdefault(seat.name, {})[seat.place] = turn, strengths[name]
    return {name: _one(_shares(name), own) for name, own in members.items()}


def _one(shares: tuple[int, ...], members: Mapping[int, tuple[Layer, Strength]]) -> tuple[dict[str, Tensor], float]:
    first, (rank, alpha) = next(iter(members.values()))
    if len(shares) == 1:
        return dict(first), alpha
    place = next(iter(members))
    unit = members[place][0][UP].shape[0] // shares[place]
    strength, total = alpha / rank, sum(own for _, (own, _) in members.values())
    up, ranks, downs = torch.zeros(unit * sum(shares), total), 0, []
    for place in sorted(members):
        layer, (own_rank, own_alpha) = members[place]
        own = own_alpha / own_rank
        row = unit * sum(shares[:place])
        block = layer[UP] if own == strength else layer[UP] * (own / strength)
        up[row : row + len(block), ranks : ranks + own_rank] = block
        ranks += own_rank
        downs.append(layer[DOWN])
    found = {DOWN: torch.cat(downs), UP: up}
    if MAGNITUDE in first:
        found[MAGNITUDE] = torch.cat([members[place][0][MAGNITUDE] for place in sorted(members)])
    return found, strength * total


def _shares(name: str) -> tuple[int, ...]:
    """-> the outputs of the members of a layer, in proportion."""
    return (1, 1, 1) if name.endswith("qkv") else _LINEAR1 if name.endswith("linear1") else (1,)


def is_original(name: str) -> bool:
    """Whether the dotted name of a module is one of the authors'."""
    return bool(_ours(name))


def split(path: Path, name: str, layer: Layer) -> dict[str, dict[str, Tensor]]:
    """-> by the names of diffusers, what a layer by the authors' name holds for each; ends are kohya's.

    UserError for a kind that does not split.
    """
    ours = _ours(name)
    odd = next((end for end in layer if ".lokr" in end), None)
    turn = ours[0][1].turn
    if odd and (len(ours) > 1 or turn != "same"):
        raise UserError(
            f"{path}: `{name[:100]}` is one Kronecker product over several layers; merge it with its own tool"
        )
    if len(ours) == 1:
        return {ours[0][0]: {end: turned(t, turn) if end in _ROWS else t for end, t in layer.items()}}
    shares = _shares(name)
    rows = next((tensor.shape[0] for end, tensor in layer.items() if end in _ROWS), 0)
    unit, rest = divmod(rows, sum(shares))
    if rest or not unit:
        raise UserError(f"{path}: `{name[:100]}` has {rows} outputs, which {len(ours)} layers cannot share")
    cuts = [unit * share for share in shares]
    pieces = {end: tensor.split(cuts) for end, tensor in layer.items() if end in _ROWS}
    found = {}
    for place, (own, _) in enumerate(ours):
        member = {end: pieces[end][place].contiguous() if end in pieces else t for end, t in layer.items()}
        kept = _own_ranks(place, member, pieces.get(".lora_up.weight", ()))
        if kept is not None:
            found[own] = kept
    return found


def _own_ranks(place: int, member: dict[str, Tensor], ups: tuple[Tensor, ...]) -> dict[str, Tensor] | None:
    """-> the member with the ranks that its rows use, where no other member uses them; None where it uses none."""
    used = [up.any(0) for up in ups]
    if not used or (not used[place].any() and ".dora_scale" in member):
        return member
    if not used[place].any():
        return None
    if torch.stack(used).sum(0).max() > 1:
        return member
    own, whole = used[place], len(used[place])
    alpha = member.get(".alpha", torch.tensor(float(whole)))
    return member | {
        ".lora_down.weight": member[".lora_down.weight"][own],
        ".lora_up.weight": member[".lora_up.weight"][:, own].contiguous(),
        ".alpha": alpha.float() * (int(own.sum()) / whole),
    }


def _ours(name: str) -> list[tuple[str, Seat]]:
    """-> the modules of diffusers that lie in one of the authors', in their order there."""
    number = next((part for part in name.split(".") if part.isdigit()), "0") if "blocks." in name else "0"
    return _inverse(number).get(name, [])


@cache
def _inverse(number: str) -> dict[str, list[tuple[str, Seat]]]:
    found: dict[str, list[tuple[str, Seat]]] = {}
    for module, names in ((flux_module, FLUX_MODULES), (sd3_module, SD3_MODULES)):
        for one in names:
            name = one.format(number)
            seat = module(name)
            if seat is not None and all(known != name for known, _ in found.get(seat.name, [])):
                found.setdefault(seat.name, []).append((name, seat))
    return {name: sorted(members, key=lambda member: member[1].place) for name, members in found.items()}
