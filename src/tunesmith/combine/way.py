"""A way to combine adapters, and what is refused before it begins."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from tunesmith.combine.formulas import FORMULAS, HOW, Formula
from tunesmith.combine.read import Factors, Parts
from tunesmith.core.errors import UserError, near

THIN = ("ties", "dare", "magnitude")  # the formulas that leave numbers out


@dataclass(frozen=True, slots=True)
class Way:
    """How to combine, checked."""

    how: str
    weights: tuple[float, ...]
    density: float | None = None
    rank: int | None = None  # of the result, for those that cut
    seed: int = 0

    @property
    def cuts(self) -> bool:
        return self.how.endswith("svd")

    @property
    def formula(self) -> Formula:
        name = "linear" if self.how == "svd" else self.how.removesuffix("_svd")
        return Formula(name, 1.0 if self.density is None else self.density)

    def draw(self, layer: str) -> torch.Generator:
        """Random numbers of a layer: they depend on its name and the seed, not on the layers before it."""
        return torch.Generator().manual_seed(seed_of(layer, self.seed))


def seed_of(layer: str, seed: int) -> int:
    """-> the seed of one layer's random numbers."""
    return int.from_bytes(hashlib.sha256(f"{seed} {layer}".encode()).digest()[:7])


def refuse_odd(way: Way, count: int) -> None:
    """UserError for a way that does not exist, or that has too much or too little said of it."""
    if way.how not in HOW:
        raise UserError(f"how: `{way.how}` is not known{near(way.how, HOW)}; known are {', '.join(HOW)}")
    if len(way.weights) != count:
        raise UserError(f"weights: {len(way.weights)} of them for {count} adapters; give one for each")
    thin = way.how.startswith(THIN)
    if thin and way.density is None:
        raise UserError(f"density: {way.how} needs the share of numbers that stay, for example 0.5")
    if not thin and way.density is not None:
        raise UserError(f"density: {way.how} leaves nothing out; choose one of {', '.join(FORMULAS[1:])}, or drop it")
    if way.density is not None and not 0 < way.density <= 1:
        raise UserError(f"density: must be above 0 and at most 1, not {way.density:g}")
    if way.rank is not None and not way.cuts:
        raise UserError(f"rank: {way.how} keeps the rank of its parts; choose a way that ends in svd, or drop it")
    if way.rank is not None and not 1 <= way.rank <= 4096:
        raise UserError(f"rank: must be from 1 to 4096, not {way.rank}")


def refuse_strangers(adapters: Sequence[Parts], way: Way) -> None:
    """UserError for adapters of different kinds or bases, and for kinds that have no combination."""
    first = adapters[0]
    for other in adapters[1:]:
        if other.kind != first.kind:
            raise UserError(f"{other.folder}: is {other.kind}, {first.folder} is {first.kind}; kinds do not combine")
    known = [one for one in adapters if one.fingerprint]
    for other in known[1:]:
        if other.fingerprint != known[0].fingerprint:
            raise UserError(f"{other.folder}: was trained on another base than {known[0].folder}; they do not combine")
    for one in adapters:
        _refuse_kind(one, way)


def _refuse_kind(one: Parts, way: Way) -> None:
    if one.kind == "ia3" and way.how != "linear":
        raise UserError(f"{one.folder}: is ia3, whose vectors combine by linear alone; choose that")
    if one.kind not in ("lora", "ia3"):
        raise UserError(f"{one.folder}: is {one.kind}; only lora and ia3 can be combined")
    if one.described.get("use_dora"):
        raise UserError(f"{one.folder}: is DoRA, whose lengths of rows do not add up; merge or stack it instead")
    if one.stacked:
        raise UserError(f"{one.folder}: changes the experts of a mixture, which are not combined; stack it instead")


def refuse_shapes(layer: str, own: Sequence[Factors], way: Way) -> None:
    """UserError for updates of one layer that cannot be added up, or not in this way."""
    sizes = {(f.up.shape[0], *f.down.shape[1:]) for f in own}
    if len(sizes) > 1:
        raise UserError(f"{layer}: has {len(sizes)} different shapes; the adapters belong to different bases")
    ranks = sorted({f.rank for f in own})
    if len(ranks) > 1 and way.how != "cat" and not way.cuts:
        several = " and ".join(map(str, ranks))
        raise UserError(f"{layer}: has the ranks {several}, and {way.how} needs equal ones; use cat or svd")
