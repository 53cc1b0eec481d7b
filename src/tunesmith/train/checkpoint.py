"""Checkpoints that are whole or absent: `step-000040/` with tensors, state and a manifest of hashes.

A folder is written aside, forced to the disk and renamed (`tunesmith.core.files.commit_folder`), and trusted only when
each byte is as its manifest says. Safetensors and JSON: nothing in it can run code.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from tunesmith.core.errors import RunFailed, UserError
from tunesmith.core.files import (
    Damaged,
    commit_folder,
    dump,
    existing_parent,
    make_folder,
    remove_folder,
    remove_unfinished,
    verify_folder,
    write_text,
)
from tunesmith.core.protocols import State
from tunesmith.train.progress import Progress

TENSORS = ("trainable", "optimizer", "rng")
AVERAGE = "average.safetensors"  # beside them where a running mean is kept
STATE = "state.json"
ROOM = 2.2  # the new checkpoint beside an old one, and some air


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run between two steps. Give it back to the model, the optimizer and the generators, and it goes on the same."""

    trainable: State
    optimizer: State
    rng: State
    progress: Progress
    average: State = field(default_factory=dict)  # the running mean of what trains; empty where none is kept


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The checkpoints of one run. One process at a time: the caller holds the run's lock."""

    folder: Path
    fingerprints: Mapping[str, str]  # what a run must share to go on from here: recipe, base, data
    keep: int = 2

    def prepare(self, needed: int) -> None:
        """Clear what a killed process left, and make sure that checkpoints of `needed` bytes will fit."""
        make_folder(self.folder)
        remove_unfinished(self.folder)
        free = shutil.disk_usage(existing_parent(self.folder)).free
        if free < ROOM * needed and not self.steps():
            raise UserError(
                f"{self.folder}: {free} bytes are free, but checkpoints need {int(ROOM * needed)}; "
                "make room or choose another output folder"
            )

    def path(self, step: int) -> Path:
        return self.folder / f"step-{step:06d}"

    def steps(self) -> list[int]:
        """-> the steps of all checkpoints, oldest first, valid or not."""
        names = (path.name.removeprefix("step-") for path in self.folder.glob("step-*"))
        return sorted(int(name) for name in names if name.isdecimal())

    def save(self, snapshot: Snapshot) -> Path:
        """Write, read back, and only then delete what is no longer kept. Raises UserError when the disk is full."""
        target = self.path(snapshot.progress.step)
        with commit_folder(target, {"fingerprints": dict(self.fingerprints)}) as aside:
            for name in TENSORS:
                tensors: State = getattr(snapshot, name)
                _write(tensors, aside / f"{name}.safetensors")
            if snapshot.average:
                _write(snapshot.average, aside / AVERAGE)
            write_text(aside / STATE, dump(asdict(snapshot.progress)))
        try:
            verify_folder(target)
        except Damaged as error:
            raise RunFailed(f"{error}, read just after writing; do not trust this disk") from error
        self._rotate()
        return target

    def _rotate(self) -> None:
        newest = self.steps()[-self.keep :]
        needed = {self._best_of(step) for step in newest}
        for step in self.steps():
            if step not in needed and step not in newest:
                remove_folder(self.path(step))

    def _best_of(self, step: int) -> int | None:
        try:
            return self._progress(step).best_step
        except (OSError, ValueError, TypeError):
            return None  # an old one, damaged since it was written: nothing can go on from there

    def newest(self) -> tuple[int | None, list[str]]:
        """-> the step to go on from, if any, and a sentence for each newer checkpoint that cannot be used.

        A checkpoint can be used when it is intact, and so is the one that holds the best weights until then.
        Raises UserError when an intact one belongs to another recipe, base or data.
        """
        refused = []
        for step in reversed(self.steps()):
            try:
                self._check(step)
                best = self._progress(step).best_step
                if best is not None and best != step:
                    self._check(best)
            except Damaged as error:
                refused.append(f"checkpoint {self.path(step)} cannot be used ({error})")
            else:
                return step, refused
        return None, refused

    def _check(self, step: int) -> None:
        try:
            known = verify_folder(self.path(step))["fingerprints"]
        except OSError as error:
            raise RunFailed(f"{self.path(step)}: cannot be read, {error.strerror}; check the disk") from error
        for name in sorted({*known, *self.fingerprints}):
            if known.get(name) != self.fingerprints.get(name):
                raise UserError(
                    f"{self.folder.parent}: its checkpoints were made with another {name}; "
                    f"give the {name} of that run, or choose another output folder"
                )

    def _progress(self, step: int) -> Progress:
        return Progress(**json.loads((self.path(step) / STATE).read_text()))

    def load(self, step: int) -> Snapshot:
        """-> a checkpoint that `newest` has found intact."""
        trainable, optimizer, rng = (load_file(self.path(step) / f"{name}.safetensors") for name in TENSORS)
        mean = self.path(step) / AVERAGE
        return Snapshot(trainable, optimizer, rng, self._progress(step), load_file(mean) if mean.is_file() else {})

    def weights(self, step: int) -> dict[str, Tensor]:
        """-> what trained, as it was at `step`, or its mean until then. RunFailed when it has been damaged since."""
        try:
            self._check(step)
        except Damaged as error:
            raise RunFailed(f"{error}; give the same command again to go on from an earlier checkpoint") from error
        mean = self.path(step) / AVERAGE
        return load_file(mean if mean.is_file() else self.path(step) / "trainable.safetensors")

    def forget_after(self, step: int) -> None:
        """Delete the checkpoints newer than `step`: the run comes by there again, and nothing may be mistaken."""
        for later in self.steps():
            if later > step:
                remove_folder(self.path(later))


def _write(tensors: State, path: Path) -> None:
    save_file({name: value.detach().contiguous() for name, value in tensors.items()}, path)
