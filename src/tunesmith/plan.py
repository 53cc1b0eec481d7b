"""What a run will take, said before it: memory, disk and time, from a rehearsal of its parts in another process."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.catalogue.fetch import default_cache
from tunesmith.core.errors import RunFailed, UserError
from tunesmith.core.files import existing_parent, make_folder, writing
from tunesmith.environment import of_child
from tunesmith.recipe import Recipe
from tunesmith.rehearsal.measured import Measured
from tunesmith.rehearsal.medium import Medium, medium_of
from tunesmith.report.numbers import duration, size
from tunesmith.show import Show

DIARY, LINE = 300_000, 500  # bytes of the report and what belongs to it, and of a step's lines in the diaries
NEARLY = 0.97  # of the peak: the stage that first comes so near is the one to change


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will take, and what this machine has."""

    recipe: Recipe
    measured: Measured
    fetched: int  # bytes that planning put into the cache: a download, a conversion
    free_disk: int

    @property
    def seconds(self) -> float:
        return sum(self.measured.seconds.values())

    @property
    def unit(self) -> str:
        """What the work of a step is counted in."""
        return medium_of(self.recipe.objective.eats).unit

    @property
    def longer(self) -> float | None:
        """Seconds that the run takes more if all answers become as long as they may be; None where none are written."""
        m = self.measured
        return None if m.longest is None else m.longest - m.seconds["rollouts"] - m.seconds["training"]

    @property
    def memory(self) -> int:
        """Bytes that the run holds at most."""
        return max(self.measured.held.values())

    @property
    def machine_memory(self) -> int:
        """Bytes that the machine must have: the proof reads its file in a second process beside the run."""
        return max(self.memory, self.measured.beside + self.measured.fresh)

    @property
    def disk(self) -> dict[str, int]:
        """Bytes that are on the disk at one time, by what they are."""
        m = self.measured
        diary = DIARY + LINE * m.steps
        return {"checkpoints": m.kept * m.checkpoint, "artifact": m.artifact, "diary": diary, "cache": self.fetched}

    @property
    def warnings(self) -> list[str]:
        found, needed = [], sum(self.disk.values()) - self.fetched
        if self.machine_memory > self.measured.free:
            found.append(
                f"memory is not enough: {size(self.machine_memory)} are needed and {size(self.measured.free)} are free"
            )
        if needed > self.free_disk:
            place = existing_parent(self.recipe.folder)
            found.append(
                f"disk is not enough: {size(needed)} are needed and {size(self.free_disk)} are free in {place}"
            )
        return found

    @property
    def sentences(self) -> list[str]:
        """What dominates, and what would make it smaller."""
        medium = medium_of(self.recipe.objective.eats)
        seconds, checkpoints = self.measured.seconds, self.disk["checkpoints"]
        slowest = max(seconds, key=lambda part: seconds[part])
        highest = next(stage for stage, held in self.measured.held.items() if held >= NEARLY * self.memory)
        said = [
            f"Time: {slowest} takes {seconds[slowest] / self.seconds:.0%}; {medium.time[slowest]}.",
            f"Memory: reached in {highest}; {medium.memory[highest]}.",
        ]
        if checkpoints > self.measured.artifact and checkpoints > DIARY:
            said.append(
                f"Disk: {self.measured.kept} checkpoints of {size(self.measured.checkpoint)} are there at one time; "
                "train.keep_checkpoints says how many stay."
            )
        if self.longer is not None:
            told = duration(self.seconds + self.longer)
            said.append(
                "Answers: taken to be as long as the base's are now. If all become as long as objective.answer_tokens "
                f"lets them, the run takes {told}."
            )
        if self.recipe.train.patience is not None:
            said.append("With train.patience the run may end earlier: this is the longest that it can take.")
        return said

    def document(self) -> dict[str, Any]:
        """-> JSON-ready: `memory_bytes` of the run's own process, `disk_bytes` at one time, `seconds` of all."""
        m = self.measured
        return {
            "memory_bytes": self.memory,
            "machine_memory_bytes": self.machine_memory,
            "disk_bytes": sum(self.disk.values()),
            "seconds": self.seconds,
            **({} if self.longer is None else {"seconds_at_most": self.seconds + self.longer}),
            "steps": m.steps,
            "tokens": m.tokens,
            "tokens_per_pass": m.tokens_per_pass,
            "parts": {"seconds": m.seconds, "memory_bytes": m.held, "disk_bytes": self.disk},
            "free": {"memory_bytes": m.free, "disk_bytes": self.free_disk},
            "warnings": self.warnings,
        }


def plan(recipe: Recipe, show: Show | None = None) -> Plan:
    """Rehearse the run of `recipe` and add up. Nothing of it is left but what the base put into the cache.

    Raises UserError for whatever the run would refuse, and when the memory does not hold the rehearsal.
    """
    show, before = show or Show(), _cached()
    with _scratch(recipe.folder) as scratch:
        free = shutil.disk_usage(scratch).free
        measured = _rehearsed(recipe, scratch, show)
    return Plan(recipe, measured, max(0, _cached() - before), free)


@contextmanager
def _scratch(run: Path) -> Iterator[Path]:
    """A folder beside that of the run: checkpoints must be timed on the disk where they will be written."""
    place = existing_parent(run)
    with writing(place):
        scratch = Path(tempfile.mkdtemp(prefix=".tunesmith-plan-", dir=place))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _rehearsed(recipe: Recipe, scratch: Path, show: Show) -> Measured:
    make_folder(scratch)
    medium = medium_of(recipe.objective.eats)
    asked = json.dumps({"recipe": recipe.model_dump(mode="json"), "scratch": str(scratch)})
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", medium.rehearsal],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=of_child(),
        )
        try:
            stage, found = _followed(process, asked, show, medium)
            status = process.wait()
        finally:
            process.kill()
            process.wait()
        if found is not None:
            return found
        errors.seek(0)
        raise _explained(status, stage, errors.read(), medium)


def _followed(process: "subprocess.Popen[str]", asked: str, show: Show, medium: Medium) -> tuple[str, Measured | None]:
    """-> the last stage that was begun, and what was measured if it came so far."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(asked)
    process.stdin.close()
    stage, found = "start", None
    for text in process.stdout:
        line: Mapping[str, Any] = json.loads(text)
        if "say" in line:
            show.say(line["say"])
        elif "stage" in line:
            stage = line["stage"]
            show.say(f"rehearsing {medium.stages.index(stage) + 1} of {len(medium.stages)}: {stage}")
        elif "measured" in line:
            found = Measured.model_validate(line["measured"])
        else:
            _raise(line, stage, medium)
    return stage, found


def _raise(line: Mapping[str, Any], stage: str, medium: Medium) -> None:
    if "refused" in line:
        raise UserError(line["refused"])
    if "memory" in line:
        raise UserError(_too_much(stage, f" of {size(line['memory'])}", medium))
    raise RunFailed(line["failed"])


def _explained(status: int, stage: str, errors: str, medium: Medium) -> Exception:
    """Why a rehearsal ended without a word."""
    if status == -9:
        return UserError(_too_much(stage, "", medium))
    last = (errors.strip().splitlines() or [f"status {status}"])[-1]
    return RunFailed(f"the rehearsal ended in {stage}: {last[:400]}")


def _too_much(stage: str, held: str, medium: Medium) -> str:
    better = medium.memory.get(stage, "take a smaller base")
    return (
        f"memory: the run does not fit this machine, it was stopped in {stage}{held and ' with a peak'}{held}; {better}"
    )


def _cached() -> int:
    """-> bytes of the bases and data sets that are kept for every run."""
    places = (default_cache() / name for name in ("catalogue", "converted"))
    return sum(file.stat().st_size for place in places for file in place.rglob("*") if file.is_file())
