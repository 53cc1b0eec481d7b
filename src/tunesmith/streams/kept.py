"""Rollouts on the disk: what several updates learn from outlives the process, so that a resumed run learns the same."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from tunesmith.core.batch import TokenBatch
from tunesmith.core.errors import RunFailed
from tunesmith.core.files import make_folder, remove_unfinished, write_bytes
from tunesmith.core.rollouts import SIGNALS, RolloutBatch

_ROW = ("tokens", "labels", "positions", "branches")


def keep(folder: Path, step: int, batches: Sequence[RolloutBatch], needed: Sequence[int], updates: int) -> None:
    """Write what was sampled at `step`, whole or not at all, and delete what no step of `needed` can resume from."""
    make_folder(folder)
    remove_unfinished(folder)
    tensors: dict[str, torch.Tensor] = {}
    facts = []
    for i, batch in enumerate(batches):
        row = {name: getattr(batch.packed, name) for name in _ROW}
        signals = {name: getattr(batch, name) for name in (*SIGNALS, "owner")}
        tensors |= {f"{i}.{name}": value.contiguous() for name, value in (row | signals).items()}
        packed = batch.packed
        facts.append([packed.lengths, packed.source, packed.shared, batch.told])
    write_bytes(_path(folder, step), save(tensors, {"passes": json.dumps(facts)}))
    firsts = {step, *(one - one % updates for one in needed)}
    for path in folder.glob("step-*.safetensors"):
        if path not in {_path(folder, first) for first in firsts}:
            path.unlink(missing_ok=True)


def read(folder: Path, step: int) -> list[RolloutBatch]:
    """-> what was sampled at `step`. Raises RunFailed when it is not there."""
    path = _path(folder, step)
    try:
        with safe_open(path, "pt") as file:
            facts = json.loads(file.metadata()["passes"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise RunFailed(
            f"{path}: the answers that the next step learns from cannot be read ({error}); choose another output folder"
        ) from error
    found = []
    for i, (lengths, source, shared, told) in enumerate(facts):
        row = {name: tensors[f"{i}.{name}"] for name in _ROW}
        packed = TokenBatch(lengths=tuple(lengths), source=tuple(source), shared=shared, **row)
        signals: dict[str, torch.Tensor] = {name: tensors[f"{i}.{name}"] for name in (*SIGNALS, "owner")}
        found.append(RolloutBatch(packed=packed, told=tuple((name, value) for name, value in told), **signals))
    return found


def _path(folder: Path, step: int) -> Path:
    return folder / f"step-{step:06d}.safetensors"
