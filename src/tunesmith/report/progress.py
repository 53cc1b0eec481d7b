"""How far a run is: a bar on a terminal, plain lines at a readable pace elsewhere."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text

from tunesmith.report.numbers import count, duration, size

_PACE = 5.0  # seconds between two plain lines
_WINDOW = 30.0  # seconds that a rate is the mean of


@dataclass(frozen=True, slots=True)
class _Mark:
    """Where the run was at a moment; examples and tokens since the display began."""

    at: float
    step: int
    examples: float
    tokens: float


class Progress:
    """`with Progress(total, label) as progress:` shows loss, rate, memory and time left.

    `update` takes the numbers of the step: `loss`, `examples` and `tokens` of that step, `peak_memory_bytes`; what is
    not given is not shown, and others are ignored. Rates and time left are of the last half minute of this process.
    """

    def __init__(
        self,
        total: int,
        label: str,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total, self.label, self.clock = total, label, clock
        self.console = console or Console(stderr=True)
        self._marks: deque[_Mark] = deque()
        self._bar: Bar | None = None
        self._line: str | None = None  # the newest plain line, when it was held back
        self._printed: float | None = None

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._bar = Bar(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=None),
                TextColumn("{task.completed}/{task.total}"),
                TextColumn("{task.fields[numbers]}", markup=False),
                console=self.console,
                expand=True,
            )
            self._task = self._bar.add_task(self.label, total=self.total, numbers="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self._line is not None:
            self._print(self._line)

    def update(self, step: int, /, **numbers: float) -> None:
        """`step` steps are done (of all of the run's, also when it went on from a checkpoint)."""
        self._mark(step, numbers)
        said = "  ".join(self._numbers(step, numbers))
        if self._bar is not None:
            self._bar.update(self._task, completed=step, numbers=said)
            return
        self._line = f"{self.label} {step}/{self.total}  {said}".rstrip()
        due = self._printed is None or self.clock() - self._printed >= _PACE
        if due or step >= self.total:
            self._print(self._line)

    def say(self, sentence: str) -> None:
        """Something that stays to be read: above the bar, or as a line of its own."""
        self.console.print(Text(sentence), highlight=False, soft_wrap=True)

    def _print(self, line: str) -> None:
        self.console.print(Text(line), highlight=False, soft_wrap=True)
        self._printed, self._line = self.clock(), None

    def _mark(self, step: int, numbers: dict[str, float]) -> None:
        now = self.clock()
        last = self._marks[-1] if self._marks else _Mark(now, step, 0.0, 0.0)
        examples, tokens = (numbers.get(name, 0.0) for name in ("examples", "tokens"))
        self._marks.append(
            _Mark(now, step, last.examples + examples, last.tokens + tokens) if self._marks else last
        )  # the first step took a time that is not known: its examples do not count
        while len(self._marks) > 2 and now - self._marks[1].at > _WINDOW:
            self._marks.popleft()

    def _numbers(self, step: int, numbers: dict[str, float]) -> list[str]:
        said = [f"loss {numbers['loss']:.4g}"] if "loss" in numbers else []
        first, last = self._marks[0], self._marks[-1]
        passed = last.at - first.at
        if passed > 0 and last.step > first.step:
            if last.examples > first.examples:
                said.append(f"{_rate((last.examples - first.examples) / passed)} examples/s")
            if last.tokens > first.tokens:
                said.append(f"{count((last.tokens - first.tokens) / passed)} tokens/s")
        if "peak_memory_bytes" in numbers:
            said.append(size(numbers["peak_memory_bytes"]))
        if passed > 0 and last.step > first.step and step < self.total:
            said.append(f"{duration((self.total - step) * passed / (last.step - first.step))} left")
        return said


def _rate(value: float) -> str:
    return f"{value:.2g}" if value < 10 else count(value)
