"""Which pictures are held out: by content, and never one that is like a picture that is learned."""

from collections import defaultdict
from collections.abc import Sequence

FEWEST = 5  # distinct pictures; with fewer each one is needed for learning


def held_out(group: Sequence[int], digests: Sequence[str], share: float) -> set[int]:
    """-> the places of the pictures to hold out. `group`: the number of each one's group of like pictures.

    A group goes as a whole, in the order of its least hash, while it fits into the share; at least one goes, if one
    can leave most pictures behind, and one picture at least stays.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for place, number in enumerate(group):
        members[number].append(place)
    if share == 0 or len(members) < FEWEST:
        return set()
    ordered = sorted(members.values(), key=lambda some: min(digests[place] for place in some))
    wanted = min(max(1, round(share * len(group))), len(group) - 1)
    out: set[int] = set()
    for some in ordered:
        if len(out) + len(some) <= wanted:
            out.update(some)
    smallest = min(ordered, key=len)
    if not out and 2 * len(smallest) <= len(group):
        out.update(smallest)
    return out
