"""A run in small: its real parts in a process of its own, in their order; what they hold and how long they take.

`python -m tunesmith.rehearsal` reads {"recipe", "scratch"} as JSON and writes a line of JSON for each sentence, each
stage, and in the end what it measured or why it could not.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import torch

from tunesmith.artifact import save
from tunesmith.core.errors import RunFailed, UserError
from tunesmith.core.files import make_folder
from tunesmith.core.freed import give_back
from tunesmith.core.network import inherit
from tunesmith.core.order import steps_per_epoch
from tunesmith.ends import face
from tunesmith.models.language import Packed
from tunesmith.models.load import Place
from tunesmith.opening import Opened, open_base, open_source
from tunesmith.proof import Proof
from tunesmith.rate_probe import ROWS, Size
from tunesmith.recipe import Recipe, make_recipe
from tunesmith.rehearsal.excerpt import Calendar, outline
from tunesmith.rehearsal.measured import STAGES, Measured, forget_peak, free_memory, most_held, resident
from tunesmith.rehearsal.questions import Asked, ask_a_little
from tunesmith.rehearsal.training import (
    TimedOptimizer,
    optimizer_of,
    refer_a_little,
    train_a_little,
    validate_a_little,
)
from tunesmith.report.numbers import size
from tunesmith.stages import attach, probe
from tunesmith.train import randomness
from tunesmith.train.checkpoint import Checkpoints, Snapshot
from tunesmith.train.progress import Progress
from tunesmith.train.step import out_of_memory

Tell = Callable[[dict[str, Any]], None]


@dataclass(slots=True)
class Clock:
    """Tells each stage, times it, and notes the memory held until its end."""

    tell: Tell
    device: torch.device
    seconds: dict[str, float] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        assert name in STAGES, name
        self.tell({"stage": name})
        forget_peak(self.device)
        begin = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - begin
        self.held[name] = most_held(self.device)

    def say(self, sentence: str) -> None:
        self.tell({"say": sentence})


def rehearse(recipe: Recipe, scratch: Path, clock: Clock) -> Measured:
    """Play the run of `recipe` in small; what it writes goes below `scratch`. Raises what the run would raise."""
    with clock.stage("data"):
        source = open_source(recipe, clock.say)
    free = refuse_too_large(source.place, clock.device)
    for sentence in source.prepared.said:
        clock.say(sentence)
    with clock.stage("load"):
        opened = open_base(source, None, clock.say)
    for key, choice in opened.choices.items():
        clock.say(f"{key} = {choice['value']}: {choice['reason']}")
    fresh = most_held(torch.device("cpu"))
    with clock.stage("attach"):
        model = face(opened.base.network, recompute=opened.recipe.train.recompute)
        attach(opened, model)
        Proof.begin(opened.base.network, opened.base.folder, probe(opened))
    return _played(opened, model, scratch, clock).model_copy(update={"fresh": fresh, "free": free})


def _played(opened: Opened, model: Packed, scratch: Path, clock: Clock) -> Measured:
    config, prepared = opened.recipe.train, opened.prepared
    steps = config.steps(steps_per_epoch(len(prepared.train), config.batch_size))
    run = outline(prepared.train, config, steps, opened.tokens_per_pass)
    calendar = Calendar.of(config, steps, bool(prepared.validation))
    optimizer = optimizer_of(opened, {name: p for name, p in model.named_parameters() if p.requires_grad})
    with clock.stage("training"):
        trained = train_a_little(opened, model, optimizer, run)
    if trained.limit is not None:
        clock.say(f"passes did not fit the memory; at most {trained.limit} tokens a pass")
    with clock.stage("validation"):
        validation = validate_a_little(opened, model)
        reference = refer_a_little(opened, model)
    with clock.stage("checkpoints"):
        checkpoint = _save_checkpoint(opened, optimizer, model, scratch)
    give_back()  # as a run does behind its last step
    with clock.stage("artifact"):
        artifact = save(scratch, opened).described.bytes
    beside = resident()
    with clock.stage("proof"):
        Proof.begin(opened.base.network, opened.base.folder, probe(opened))  # its end looks at the same once more
    with clock.stage("evaluation"):
        measured = opened.recipe.evaluate.enabled and prepared.test
        asked = ask_a_little(opened, model) if measured else Asked(0.0, 0.0)
    taken = clock.seconds
    return Measured(
        steps=steps,
        tokens=run.tokens,
        tokens_per_pass=opened.tokens_per_pass,
        seconds=_probing(opened, trained.seconds / steps, validation)
        | {
            "opening": taken["start"] + taken["data"] + taken["load"] + taken["attach"],
            **({"reference": reference} if reference else {}),
            "training": trained.seconds,
            "validation": validation * calendar.validations,
            "checkpoints": taken["checkpoints"] * calendar.saves,
            "artifact": taken["artifact"],
            "proof": taken["proof"] + taken["start"] + taken["load"],  # a fresh process starts and loads as this one
            "scoring": asked.scoring,
            "answers": asked.answers,
        },
        held=clock.held,
        beside=beside,
        fresh=0,
        free=0,
        checkpoint=checkpoint,
        kept=calendar.kept,
        artifact=artifact,
    )


def _probing(opened: Opened, step: float, validation: float) -> dict[str, float]:
    """-> seconds of trying learning rates, where the recipe asks for that."""
    if opened.recipe.train.learning_rate != "auto":
        return {}
    size, rows = Size.of(opened), len(opened.prepared.validation)
    return {"probe": size.all_steps * step + (len(size.rates) + 1) * validation * min(1.0, ROWS / rows)}


def _save_checkpoint(opened: Opened, optimizer: TimedOptimizer, model: Packed, scratch: Path) -> int:
    """-> bytes of one checkpoint."""
    checkpoints = Checkpoints(scratch / "checkpoints", {}, keep=opened.recipe.train.keep_checkpoints)
    make_folder(checkpoints.folder)
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    rng = randomness.capture(opened.device)
    mean = optimizer.average.state if optimizer.average is not None else {}
    path = checkpoints.save(Snapshot(parameters, optimizer.state(), rng, Progress(step=1), mean))
    return sum(file.stat().st_size for file in path.iterdir())


def refuse_too_large(place: Place, device: torch.device) -> int:
    """-> free memory. A base whose files alone are larger is not even opened: the machine would stand still."""
    path, free = place.path, free_memory(device)
    weights = path.stat().st_size if path.is_file() else sum(f.stat().st_size for f in path.glob("*.safetensors"))
    if weights > free:
        raise UserError(
            f"base: the weights of {place.name} are {size(weights)}, and {size(free)} of memory are free; "
            "take a smaller base"
        )
    return free


def _main() -> None:
    inherit()
    # What libraries print must not stand between our lines.
    lines = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    sys.stdout = sys.stderr

    def tell(line: dict[str, Any]) -> None:
        print(json.dumps(line), file=lines, flush=True)

    clock = Clock(tell, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
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


if __name__ == "__main__":
    _main()
