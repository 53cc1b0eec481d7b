"""What a person sees while a run goes on: sentences, choices with their reasons, one bar for each long part."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Protocol

from tunesmith.evidence import Watch
from tunesmith.proof import Check
from tunesmith.report.numbers import count, share
from tunesmith.report.progress import Progress
from tunesmith.train.progress import Event

WAYS = {
    "walk": "packed rows on the fast path of this family, found equal to the plain model",
    "packed": "packed rows through the family's own code, found equal to the plain model",
    "padded": "padded rows: this family cannot be packed, so passes are slower",
}

SAID = {
    "resumed": "going on ",
    "fallback": "",
    "halved": "a pass ",
    "stopped": "stopped and saved; ",
    "early": "stopped early: ",
    "overfitting": "",
}


class Known(Protocol):
    """A base, of texts or of pictures."""

    @property
    def name(self) -> str: ...
    @property
    def licence(self) -> str | None: ...
    @property
    def source(self) -> str: ...
    @property
    def note(self) -> str | None: ...


class Show:
    """Prints; `notes` keeps every sentence for the result."""

    def __init__(self, write: Callable[[str], None] | None = None) -> None:
        self.notes: list[str] = []
        self._write = write or partial(print, flush=True)
        self._bar: Progress | None = None

    def say(self, sentence: str) -> None:
        self.notes.append(sentence)
        (self._bar.say if self._bar else self._write)(sentence)

    def all(self, sentences: Iterable[str]) -> None:
        for sentence in sentences:
            self.say(sentence)

    def base(self, base: Known) -> None:
        self.say(f"base: {base.name}, licence {base.licence or 'not stated'}, from {base.source}")
        if base.note:
            self.say(f"note: {base.note}")

    def choices(self, choices: Mapping[str, Mapping[str, Any]]) -> None:
        for key, choice in choices.items():
            self.say(f"{key} = {choice['value']}: {choice['reason']}")

    def way(self, way: str) -> None:
        self.say(f"forward pass: {WAYS[way]}")

    def parameters(self, trained: int, total: int) -> None:
        self.say(f"{count(trained)} of {count(total)} parameters are trained ({share(trained / total)})")

    def averaging(self, ema: float) -> None:
        if ema:
            self.say(
                f"train.ema = {ema:g}: the running mean of the weights is validated, kept as the best, and exported"
            )

    def merging(self, why_not: str | None) -> None:
        if why_not is not None:
            self.say(f"note: the result cannot be merged into a plain model: {why_not}")

    def proof(self, checks: Mapping[str, Check]) -> None:
        for check in checks.values():
            self.say(f"proof: {check.sentence}" if check.passed else f"PROOF FAILED: {check.sentence}")

    def training(self, steps: int) -> "Training":
        return Training(self, steps)

    def watch(self, label: str, total: int, unit: str = "tokens") -> Watch:
        """A bar over tokens that are read, or whatever else is counted."""
        return _Reading(self, f"{label}, {unit}", total)


class Training:
    """The bar of the training itself; hears the events of the loop."""

    def __init__(self, show: Show, steps: int) -> None:
        self._show, self._steps = show, steps
        self._progress = Progress(steps, "training")

    def __enter__(self) -> Callable[[Event], None]:
        self._show._bar = self._progress.__enter__()
        return self.hear

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.__exit__(kind, error, trace)
        self._show._bar = None

    def hear(self, event: Event) -> None:
        if event.kind == "step":
            self._progress.update(event.step, **event.values)
        elif event.kind == "evaluated":
            name = "reward" if "reward" in event.values else "loss"
            self._show.say(f"step {event.step}: validation {name} {event.values[name]:.4f} {event.message}".rstrip())
        elif event.kind in SAID:
            self._show.say(f"step {event.step}: {SAID[event.kind]}{event.message}")


class _Reading(Watch):
    def __init__(self, show: Show, label: str, total: int) -> None:
        self._show, self._done = show, 0
        self._progress = Progress(total, label)

    def __enter__(self) -> "_Reading":
        self._show._bar = self._progress.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._progress.__exit__(*error)
        self._show._bar = None

    def read(self, tokens: int) -> None:
        self._done += tokens
        self._progress.update(self._done)
