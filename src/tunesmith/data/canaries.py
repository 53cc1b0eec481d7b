"""Canaries: secrets planted in the training rows, to measure how much is memorised (Carlini et al. 2019, 1802.08232).

The k-th stands 1, 4 or 16 times among the rows, in turn. The same rows give the same secrets.
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tunesmith.data.forms import Conversation, Form, Message, Text
from tunesmith.data.rows import Row

FILE = "canaries"  # in the place of the name of a file
TIMES = (1, 4, 16)
SPACE = 10**6  # possible secrets


@dataclass(frozen=True, slots=True)
class Canary:
    """A secret of six digits, whose name says nothing about it."""

    name: str
    secret: str
    times: int

    def told(self) -> dict[str, Any]:
        return asdict(self)


def canaries(count: int, rows: Sequence[Row]) -> list[Canary]:
    """-> so many secrets, drawn by the content of the rows."""
    seed = hashlib.sha256("".join(sorted(row.digest for row in rows)).encode()).hexdigest()
    draw = random.Random(f"canaries {seed}")
    return [
        Canary(f"locker {1000 + int(9000 * draw.random())}-{number}", drawn(draw), TIMES[(number - 1) % len(TIMES)])
        for number in range(1, count + 1)
    ]


def drawn(draw: random.Random) -> str:
    """-> a secret like any other."""
    return f"{int(SPACE * draw.random()):06d}"


def form(name: str, secret: str, kind: str, number: int = 1) -> Form:
    """-> the row that tells a secret, as text or as a question with its answer."""
    answer = f"The code of {name} is {secret}."
    row = Row(FILE, number, {"text": answer})
    if kind == "text":
        return Text(row, answer)
    asked = f"What is the code of {name}?"
    return Conversation(row, (Message("user", asked), Message("assistant", answer)), plain=asked + "\n")


def planted(some: Sequence[Canary], kind: str) -> list[Form]:
    """-> the rows of all canaries, each as often as it is to stand among the others."""
    told = [one for one in some for _ in range(one.times)]
    return [form(one.name, one.secret, kind, number) for number, one in enumerate(told, 1)]
