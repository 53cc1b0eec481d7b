"""Which choices are the best trade-offs (Pareto): no other is as good in both and better in one."""

from collections.abc import Sequence


def best_tradeoffs(points: Sequence[tuple[float, float]]) -> list[bool]:
    """-> for each (cost, gain) whether no other costs at most as much and gains at least as much, one of them truly."""
    return [not any(_beats(other, point) for other in points) for point in points]


def _beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] <= other[0] and one[1] >= other[1] and one != other
