"""A reward: a weighted sum of terms, each of which gives a number for an answer and is logged by itself."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Protocol, Self

SHOWN = 80  # characters of an answer in a message


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt, one answer to it, and the row that it came from."""

    prompt: str
    answer: str
    row: Mapping[str, Any]
    place: str  # file and row, for messages


@dataclass(frozen=True, slots=True)
class Described:
    """What the report says of a term."""

    name: str
    file: str | None
    sha256: str | None


class Term(Protocol):
    """One judge."""

    @property
    def name(self) -> str: ...

    @property
    def described(self) -> Described: ...

    def refuse(self, asked: Sequence[Asked]) -> None:
        """Raises UserError for a row that it could never judge; the answers are empty."""
        ...

    def __call__(self, asked: Sequence[Asked]) -> list[float]:
        """-> a finite number for each. Raises UserError with the row."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Scored:
    """What answers are worth, in their order."""

    total: list[float]
    terms: dict[str, list[float]]  # before their weights


@dataclass(frozen=True)
class Reward:
    """`with open_reward(...) as reward:` then `reward(asked)`."""

    terms: tuple[tuple[Term, float], ...]

    def __call__(self, asked: Sequence[Asked]) -> Scored:
        values = {term.name: term(asked) for term, _ in self.terms}
        total = [0.0] * len(asked)
        for term, weight in self.terms:
            total = [t + weight * v for t, v in zip(total, values[term.name], strict=True)]
        return Scored(total, values)

    def refuse(self, asked: Sequence[Asked]) -> None:
        """Raises UserError for the first row that one of the terms could never judge."""
        for term, _ in self.terms:
            term.refuse(asked)

    def described(self) -> list[dict[str, Any]]:
        return [asdict(term.described) | {"weight": weight} for term, weight in self.terms]

    def close(self) -> None:
        for term, _ in self.terms:
            term.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def shown(text: str) -> str:
    """-> the beginning of a text, in quotes and on one line."""
    return repr(text if len(text) <= SHOWN else text[: SHOWN - 1] + "…")
