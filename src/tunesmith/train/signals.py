"""SIGTERM and Ctrl-C: the first asks the run to stop at the next step, the second leaves at once."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Self

INTERRUPTED = 3  # the exit status of a run that can be resumed


class StopRequest:
    """`with StopRequest() as stop:` sets `stop.asked` when the user or the system wants the run to end.

    In a thread that is not the main one, signals cannot be caught: then nothing is asked, and nothing changes.
    """

    asked = False

    def __enter__(self) -> Self:
        main = threading.current_thread() is threading.main_thread()
        numbers = (signal.SIGTERM, signal.SIGINT) if main else ()
        self._before = {number: signal.signal(number, self._hear) for number in numbers}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            os._exit(INTERRUPTED)  # whatever is being written is written aside: the last checkpoint stays valid
        self.asked = True
