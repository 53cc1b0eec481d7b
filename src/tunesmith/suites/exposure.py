"""How much of a planted secret a model gives away (Carlini et al. 2019, 1802.08232).

exposure = log2 |R| - log2 rank        R: the secret and others drawn like it, ranked by their likelihood

What was not memorised has a mean of 1 / ln 2 = 1.44 bits, at any size of R; |R| = 256 shows at most 8. Only the tokens
of the secrets are read: what stands before them is the same for all and read once, what follows says little more.
"""

import json
import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from tunesmith.core.batch import Example
from tunesmith.core.errors import UserError
from tunesmith.data.canaries import TIMES, drawn, form
from tunesmith.opening import CANARIES
from tunesmith.suites.sides import Side
from tunesmith.suites.subject import Subject
from tunesmith.suites.suite import Family, Item, columns

SIZE = 256
CHANCE = 1 / math.log(2)


def exposures(subject: Subject, kind: str, family: Family, notes: list[str]) -> dict[str, list[dict[str, Any]]]:
    """Add the mean exposure of the run's canaries. -> a table of it by how often a secret stood among the rows."""
    path = subject.run / CANARIES
    if not path.is_file():
        notes.append("exposure was not measured: no canaries were planted (data.canaries in the recipe)")
        return {}
    try:
        items: list[Item] = [
            {"name": one["name"], "secret": one["secret"], "times": one["times"], "kind": kind, "size": SIZE}
            for one in json.loads(path.read_text(encoding="utf-8"))
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: damaged ({error}); train the run again to have it written") from error
    pairs = subject.ask(
        "exposure", items, lambda some: subject.sides.each(lambda side: [exposure(side, i) for i in some]), at_once=1
    )
    both = columns(pairs, float)
    family.means("exposure", both, "lower", unit=CHANCE)
    return {"exposure of the canaries, in bits": _by_times(items, both)}


def exposure(side: Side, item: Any) -> float:
    draw = random.Random(f"{item['name']} {item['secret']}")
    others: set[str] = set()
    while len(others) < item["size"] - 1:
        others.add(drawn(draw))
        others.discard(item["secret"])
    forms = [form(item["name"], secret, item["kind"]) for secret in (item["secret"], *sorted(others))]
    encoded = [side.encoder.encoded(one, ask=False) for one in forms]
    found = side.surprise(_where_they_differ([one.examples[0] for one in encoded if one is not None]))
    own = found[0][0]
    rank = 1 + sum(nll < own for nll, _ in found[1:])
    return math.log2(item["size"]) - math.log2(rank)


def _where_they_differ(examples: Sequence[Example]) -> list[Example]:
    """-> the same, scored from the first token in which they differ to the last, and cut behind it.

    Secrets of unequally many tokens are read to the end: what follows tells there that a shorter one is over.
    """
    before = common([list(e.tokens) for e in examples])
    even = len({len(e) for e in examples}) == 1
    behind = common([list(reversed(e.tokens[before:])) for e in examples]) if even else 0
    return [
        Example(e.tokens[: len(e) - behind], [False] * before + list(e.trained[before : len(e) - behind]), e.row)
        for e in examples
    ]


def common(lists: Sequence[list[int]]) -> int:
    """-> how many elements all lists begin with."""
    shortest = min(lists, key=len)
    return next((i for i, t in enumerate(shortest) if any(one[i] != t for one in lists)), len(shortest))


def _by_times(items: Sequence[Item], both: Sequence[Sequence[float]]) -> list[dict[str, Any]]:
    rows = []
    for times in TIMES:
        of_it = [i for i, item in enumerate(items) if item["times"] == times]
        if of_it:
            means = [float(np.mean([side[i] for i in of_it])) for side in both]
            rows.append({"in the rows": times, "canaries": len(of_it), "base": means[0], "tuned": means[1]})
    return rows
