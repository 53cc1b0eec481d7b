"""The process of a rehearsal: it is told a recipe, tells its stages, and in the end what it measured or why not.

It reads {"recipe", "scratch"} as JSON and writes a line of JSON for each sentence, each stage, and the end.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import nn

from tunesmith.core.errors import RunFailed, UserError
from tunesmith.core.files import make_folder
from tunesmith.core.network import inherit
from tunesmith.models.load import Place
from tunesmith.recipe import Recipe, make_recipe
from tunesmith.rehearsal.measured import Measured, forget_peak, free_memory, most_held
from tunesmith.report.numbers import size
from tunesmith.train import randomness
from tunesmith.train.checkpoint import Checkpoints, Snapshot
from tunesmith.train.optimizer import Optimizer
from tunesmith.train.progress import Progress
from tunesmith.train.step import out_of_memory

Tell = Callable[[dict[str, Any]], None]


@dataclass(slots=True)
class Clock:
    """Tells each stage, times it, and notes the memory held until its end."""

    tell: Tell
    device: torch.device
    stages: Sequence[str]
    seconds: dict[str, float] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        assert name in self.stages, name
        self.tell({"stage": name})
        forget_peak(self.device)
        begin = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - begin
        self.held[name] = most_held(self.device)

    def say(self, sentence: str) -> None:
        self.tell({"say": sentence})


def save_checkpoint(keep: int, optimizer: Optimizer, model: nn.Module, scratch: Path) -> int:
    """-> bytes of one checkpoint."""
    checkpoints = Checkpoints(scratch / "checkpoints", {}, keep=keep)
    make_folder(checkpoints.folder)
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    rng = randomness.capture(next(iter(parameters.values())).device)
    average = getattr(optimizer, "average", None)  # of a timed one
    mean = {} if average is None else average.state
    path = checkpoints.save(Snapshot(parameters, optimizer.state(), rng, Progress(step=1), mean))
    return sum(file.stat().st_size for file in path.iterdir())


def refuse_too_large(place: Place, device: torch.device, pattern: str = "*.safetensors") -> int:
    """-> free memory. A base whose files alone are larger is not even opened: the machine would stand still.

    `pattern`: its weights, below its folder.
    """
    path, free = place.path, free_memory(device)
    weights = path.stat().st_size if path.is_file() else sum(f.stat().st_size for f in path.glob(pattern))
    if weights > free:
        raise UserError(
            f"base: the weights of {place.name} are {size(weights)}, and {size(free)} of memory are free; "
            "take a smaller base"
        )
    return free


def answer(rehearse: Callable[[Recipe, Path, Clock], Measured], stages: Sequence[str]) -> None:
    """Be that process."""
    inherit()
    # What libraries print must not stand between our lines.
    lines = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    sys.stdout = sys.stderr

    def tell(line: dict[str, Any]) -> None:
        print(json.dumps(line), file=lines, flush=True)

    clock = Clock(tell, torch.device("cuda" if torch.cuda.is_available() else "cpu"), stages)
    clock.seconds["start"] = max(0.0, time.time() - psutil.Process().create_time())
    asked = json.load(sys.stdin)
    try:
        measured = rehearse(make_recipe(asked["recipe"]), Path(asked["scratch"]), clock)
    except UserError as error:
        tell({"refused": str(error)})
    except RunFailed as error:
        tell({"failed": str(error)})
    except Exception as error:
        if not out_of_memory(error):
            raise
        tell({"memory": most_held(clock.device)})
    else:
        tell({"measured": measured.model_dump()})
