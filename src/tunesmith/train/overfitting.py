"""When a run begins to learn its rows by heart: the validation loss turns while the training loss goes on falling.

    gap = validation loss - training loss since the validation before

A rise counts from 1 % of the lowest loss on, or when it is the second in a row: the same rows are validated each time,
so that the loss moves little by chance.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from tunesmith.train.config import Train

RISE = 0.01  # of the lowest validation loss
IN_A_ROW = 2


@dataclass(frozen=True, slots=True)
class Mark:
    """A validation, with the mean training loss since the one before."""

    step: int
    epoch: float | None
    held: float
    trained: float


@dataclass(frozen=True, slots=True)
class Turn:
    best: Mark
    seen: Mark  # where it was noticed

    @property
    def sentence(self) -> str:
        best, seen = self.best, self.seen
        return (
            f"overfitting begins: from step {best.step} to step {seen.step} the validation loss rose from "
            f"{best.held:.4g} to {seen.held:.4g} while the training loss fell from {best.trained:.4g} to "
            f"{seen.trained:.4g} (the gap is {seen.held - seen.trained:.3g}, it was {best.held - best.trained:.3g})"
        )

    def advice(self, config: Train | None = None) -> str:
        """-> what to change; `config` leaves out what is done already."""
        epoch = self.best.epoch
        shorter = "train fewer epochs" if epoch is None else f"train about {max(0.1, epoch):.2g} epochs (train.epochs)"
        early = "" if config is not None and config.patience else "or stop by itself (train.patience=2), "
        return (
            f"the weights of the lowest loss are kept; to change it: {shorter}, {early}"
            "a lower train.learning_rate, a smaller method.rank, or more and more varied rows"
        )


class Gap:
    """Hears the lines of metrics.jsonl in their order; `turn` is there once overfitting has begun."""

    def __init__(self) -> None:
        self.turn: Turn | None = None
        self._best: Mark | None = None
        self._waiting = 0
        self._loss = self._units = 0.0

    @classmethod
    def of(cls, lines: Iterable[Mapping[str, Any]]) -> Self:
        gap = cls()
        for line in lines:
            gap.add(line)
        return gap

    def add(self, line: Mapping[str, Any]) -> Turn | None:
        """-> the turn, when this line shows it first."""
        if "loss" in line:
            units = float(line.get("units", 1))
            self._loss, self._units = self._loss + units * line["loss"], self._units + units
        held = line.get("validation_loss")
        # A reward is no likelihood: what is sampled for training and what is validated are not of one kind.
        if held is None or "validation_reward" in line or not self._units:
            return None
        mark = Mark(int(line["step"]), line.get("epoch"), held, self._loss / self._units)
        self._loss = self._units = 0.0
        return self._judged(mark)

    def _judged(self, mark: Mark) -> Turn | None:
        best = self._best
        if best is None or mark.held < best.held:
            self._best, self._waiting = mark, 0
            return None
        self._waiting += 1
        risen = mark.held - best.held > RISE * abs(best.held) or self._waiting >= IN_A_ROW
        if self.turn is not None or not risen or mark.trained >= best.trained:
            return None
        self.turn = Turn(best, mark)
        return self.turn
