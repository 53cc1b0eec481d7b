"""A run that is interrupted behind one of its steps, as by Ctrl-C."""

import os
import signal
from typing import Any

from tunesmith.show import Show


class Stopping(Show):
    step = 3

    def training(self, steps: int) -> Any:
        made = super().training(steps)
        hear = made.hear
        made.hear = lambda event: (  # type: ignore[method-assign]
            hear(event),
            os.kill(os.getpid(), signal.SIGINT) if event.kind == "step" and event.step == self.step else None,
        )
        return made
