"""A new head that begins where the objective is lowest over the frozen base: a linear probe, and then fine-tuning.

min  L(W f(x) + b) + l / 2 sum_j (s_j W_j)^2        over W, b; f: the base as it is

Under a random head the first steps bend the base to fit what the head happens to say; under a fitted one they need not
(Kumar et al. 2022, https://arxiv.org/abs/2202.10054). L is the objective itself, s_j the spread of a feature, and l the
penalty that is best on rows left out. The minimum is sought by L-BFGS in double precision, where it is one point
whatever the packing; a resumed run finds it again.

Shapes: A scored texts of a pass, D width, C scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tunesmith.core.batch import Batch, Example
from tunesmith.core.headed import mark_of
from tunesmith.methods.head import HeadLayer
from tunesmith.models.language import Packed
from tunesmith.streams.stream import Feed

if TYPE_CHECKING:
    from tunesmith.opening import Opened

ROWS = 2048  # at most so many training rows are read
FOLDS = 5
PENALTIES = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01)
ROUNDS = 100  # of L-BFGS
LEAST = 1e-3  # of the size of all features: what hardly changes from row to row is not made large


@dataclass(frozen=True, slots=True)
class Seen:
    """A pass, and what the frozen base makes of its texts."""

    batch: Batch
    features: Tensor  # (A, D), float64


@dataclass(frozen=True, slots=True)
class Line:
    """`z = x W + b` over features of spread one."""

    weight: Tensor  # (D, C)
    bias: Tensor | None  # (C,), where the head has one

    def scores(self, features: Tensor) -> Tensor:
        scores = features @ self.weight
        return scores if self.bias is None else scores + self.bias

    def loss(self, objective: Any, some: Sequence[Seen]) -> Tensor:
        """-> (), the mean of the objective over the units of `some`."""
        totals = [objective(lambda _, seen=seen: self.scores(seen.features), seen.batch).total for seen in some]
        return torch.stack(totals).sum() / sum(seen.batch.units for seen in some)


def fit_head(opened: "Opened", model: Packed, feed: Feed) -> str:
    """Give the head of the network its first values, from training rows alone. -> what was done, in a sentence."""
    network, objective = opened.base.network, opened.recipe.objective
    mark = mark_of(network)
    assert mark is not None, "an objective of scores has a head"
    rows = opened.prepared.train
    if not mark.fresh:
        return f"objective.head_start: {mark.modules[0]} is the base's own trained head, and begins as it is"
    if len(rows) < FOLDS:
        return f"objective.head_start: {len(rows)} training rows are too few to fit a head to, and it begins as it is"
    name, head = last_layer(network, mark.modules[0])
    network.set_submodule(name, nn.Identity())
    parts = _folds(rows, opened.recipe.train.seed)
    try:
        folds = [_seen(model, feed(part, None), opened.device) for part in parts]
    finally:
        network.set_submodule(name, head)
    features = torch.cat([one.features for fold in folds for one in fold])  # (A, D)
    least = LEAST * float(features.square().mean().sqrt()) or 1.0
    spread = features.std(0, correction=0).clamp(min=least)  # (D,)
    folds = [[Seen(one.batch, one.features / spread) for one in fold] for fold in folds]
    penalty, left_out = _penalty(objective, folds, head)
    everything = [one for fold in folds for one in fold]
    line = fitted(objective, everything, penalty, _flat(head))
    with torch.no_grad():
        head.weight.copy_((line.weight / spread[:, None]).T)
        if line.bias is not None:
            head.bias.copy_(line.bias)
    before = float(_flat(head).loss(objective, everything))
    return (
        f"{mark.modules[0]}: fitted to what the frozen base makes of {sum(map(len, parts))} training rows "
        f"(loss {left_out:.4g} on rows left out, {before:.4g} with no opinion; penalty {penalty:g})"
    )


def _folds(rows: Sequence[Example], seed: int) -> list[list[Example]]:
    """-> equal parts of the rows, or of some of them where they are many."""
    some = rows[:: -(-len(rows) // ROWS)]
    order = torch.randperm(len(some), generator=torch.Generator().manual_seed(seed)).tolist()
    return [[some[place] for place in order[start::FOLDS]] for start in range(FOLDS)]


def last_layer(network: Any, module: str) -> tuple[str, nn.Linear]:
    """-> the last linear layer of the head that trains, by its name in the tree."""
    top = network.get_submodule(module)
    prefix = f"{module}.own" if isinstance(top, HeadLayer) else module
    layers = [(n, m) for n, m in network.get_submodule(prefix).named_modules() if isinstance(m, nn.Linear)]
    inside, layer = layers[-1]
    return (f"{prefix}.{inside}" if inside else prefix), layer


@torch.no_grad()
def _seen(model: Packed, passes: Sequence[Any], device: torch.device) -> list[Seen]:
    return [Seen(batch, model(batch.to(device).packed).cpu().double()) for batch in passes]


def _penalty(objective: Any, folds: Sequence[Sequence[Seen]], head: nn.Linear) -> tuple[float, float]:
    """-> the penalty under which folds that were left out lose least, and what they lose.

    The strongest comes first, each begins where the one before it ended, and behind the first that is worse than the
    best nothing is tried: what follows fits the other rows ever closer.
    """
    lines, best = [_flat(head)] * len(folds), (PENALTIES[0], float("inf"))
    for penalty in PENALTIES:
        lost = units = 0.0
        for number, fold in enumerate(folds):
            others = [one for other in (*folds[:number], *folds[number + 1 :]) for one in other]
            lines[number] = fitted(objective, others, penalty, lines[number])
            size = sum(one.batch.units for one in fold)
            lost, units = lost + size * float(lines[number].loss(objective, fold)), units + size
        if lost / units >= best[1]:
            break
        best = penalty, lost / units
    return best


def fitted(objective: Any, some: Sequence[Seen], penalty: float, start: Line) -> Line:
    """-> the line of the least loss over `some`, sought from `start`."""
    weight = start.weight.clone().requires_grad_()
    bias = None if start.bias is None else start.bias.clone().requires_grad_()
    line = Line(weight, bias)
    search = torch.optim.LBFGS(
        [weight] if bias is None else [weight, bias], max_iter=ROUNDS, line_search_fn="strong_wolfe"
    )

    def lost() -> Tensor:
        search.zero_grad()
        loss = line.loss(objective, some) + penalty / 2 * weight.square().sum()
        loss.backward()
        return loss

    search.step(lost)
    return Line(weight.detach(), None if bias is None else bias.detach())


def _flat(head: nn.Linear) -> Line:
    """-> no opinion: the same score for all."""
    bias = None if head.bias is None else torch.zeros(head.out_features, dtype=torch.float64)
    return Line(torch.zeros(head.in_features, head.out_features, dtype=torch.float64), bias)
