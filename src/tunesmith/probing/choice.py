"""Which of the values that were tried is taken, and how that is told."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.core.errors import RunFailed

TIE = 0.02  # of the best gain: values that are so near to it count as equal


@dataclass(frozen=True, slots=True)
class Trial:
    value: float
    loss: float | None  # None: it ended in not-a-number


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the recipe that `auto` may stand in."""

    name: str  # with dots
    word: str  # what one value of it is called
    mark: str = "value"  # the name of a value in what was tried

    def tried(self, trials: Sequence[Trial], start: float) -> list[dict[str, Any]]:
        """-> each value with what it gave, the loss before any training first."""
        return [{self.mark: t.value, "loss": t.loss} for t in (Trial(0.0, start), *trials)]


def best(trials: Sequence[Trial], start: float, own: float, key: Key) -> tuple[float, str]:
    """-> the smallest value of those that gained most, and why; `start`: the loss before, `own`: the value without a
    trial. `trials` go from the smallest to the largest.

    Raises RunFailed when every one ended in not-a-number.
    """
    held = [(trial.value, trial.loss) for trial in trials if trial.loss is not None]
    if not held:
        raise RunFailed(
            f"{key.name}: every {key.word} that was tried ended in not-a-number; give a number, and a smaller rate"
        )
    lowest = min(loss for _, loss in held)
    if lowest >= start:
        return own, f"no {key.word} lowered the validation loss of {start:.4g} in so few steps, so {own:g} is taken"
    value, loss = min((r, loss) for r, loss in held if loss <= lowest + TIE * (start - lowest))
    why = f"validation loss {start:.4g} to {loss:.4g}" + (
        f", as good as the best ({lowest:.4g}) and the smallest of the equals" if loss > lowest else ", the lowest"
    )
    if value == trials[-1].value:
        why += "; it is the largest that was tried, a larger one may be better"
    elif value == trials[0].value:
        why += "; it is the smallest that was tried, a smaller one may be better"
    return value, why
