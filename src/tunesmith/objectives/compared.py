"""What objectives over pairs have in common: how much better the better answer is found, and what is logged of it.

h = (log pi(c) - log ref(c)) - (log pi(r) - log ref(r))      c: the chosen answer, r: the rejected one

Shapes: A answers, P pairs.
"""

from collections.abc import Mapping

from torch import Tensor

from tunesmith.core.answers import PairBatch


def of_pairs(values: Tensor, batch: PairBatch) -> tuple[Tensor, Tensor]:
    """(A,) -> (P,) twice: of the chosen and of the rejected answer of each pair."""
    chosen, rejected = batch.pairs.unbind(1)
    return values[chosen], values[rejected]


def told(chosen: Tensor, rejected: Tensor) -> Mapping[str, Tensor]:
    """(P,) twice, what each answer is worth -> sums to log: how often the order is right, how far they are apart."""
    chosen, rejected = chosen.detach(), rejected.detach()
    apart = chosen - rejected
    right = (apart > 0).float() + 0.5 * (apart == 0).float()  # before the first step all are equal: a coin
    return {
        "accuracy": right.sum(),
        "margin": apart.sum(),
        "chosen": chosen.sum(),
        "rejected": rejected.sum(),
    }
