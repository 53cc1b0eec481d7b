"""What a run must show before it is a success: only what should move moved, and the file is what was trained.

    proof = Proof.begin(network, base_folder, probe)  # the method attached, nothing trained
    ...                                               # training
    checks = proof.end(network, artifact, steps=n)

Shapes: T probe tokens, V vocabulary.
"""

import hashlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from tunesmith.core.errors import RunFailed, UserError
from tunesmith.fresh import Rows, fresh_logits, logits_of

CLOSE = {torch.float32: 1e-5, torch.bfloat16: 1e-2}
"""Largest difference of a logit, as a share of the largest: the same files on the same machine give the same bits, but
another split of the work over threads may round one sum otherwise."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    passed: bool
    sentence: str  # what was found, for a person


@dataclass(frozen=True, slots=True)
class Proof:
    """The network as it was before the first step, to hold the end against."""

    base: Path  # the folder of the base
    probe: Rows
    logits: Tensor  # (T, V)
    frozen: Mapping[str, str]  # name: hash of its bytes
    trained: Mapping[str, str]

    @classmethod
    def begin(cls, network: nn.Module, base: Path, probe: Rows) -> "Proof":
        """Look at `network` with its method attached, before training. `probe`: a few short rows of token ids."""
        return cls(base, probe, logits_of(network, probe), frozen_digest(network), trained_digest(network))

    def end(self, network: nn.Module, artifact: Path, *, steps: int) -> dict[str, Check]:
        """-> each check by its name, for `network` after training and the folder that was written from it.

        `artifact` holds an adapter, or a whole model after full fine-tuning. Not one check raises: a file that
        cannot be read back is a check that failed.
        """
        now = logits_of(network, self.probe)
        return {
            "frozen_unchanged": frozen_unchanged(self.frozen, network),
            "trained_moved": trained_moved(self.trained, network, steps),
            "output_changed": output_changed(self.logits, now),
            "file_equals_memory": file_equals_memory(network, now, artifact, base=self.base, probe=self.probe),
        }


def frozen_digest(network: nn.Module) -> dict[str, str]:
    """-> name: hash of the bytes of every parameter that does not train and of every buffer."""
    frozen = [(name, p) for name, p in network.named_parameters() if not p.requires_grad]
    return _digests([*frozen, *network.named_buffers()])


def trained_digest(network: nn.Module) -> dict[str, str]:
    """-> name: hash of the bytes of every parameter that trains."""
    return _digests((name, p) for name, p in network.named_parameters() if p.requires_grad)


def frozen_unchanged(before: Mapping[str, str], network: nn.Module) -> Check:
    after = frozen_digest(network)
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    if changed:
        return Check(False, f"{len(changed)} frozen tensors changed, the first is {changed[0]}")
    return Check(True, f"all {len(after)} frozen tensors are byte-equal to their start")


def trained_moved(before: Mapping[str, str], network: nn.Module, steps: int) -> Check:
    """Every tensor that trains must differ from its start.

    After a single step it is enough that some do: where one factor starts at zero, the other has no gradient yet.
    Vectors kept in half precision are not counted: a norm's weight near one moves by less than its last digit shows.
    """
    after = trained_digest(network)
    coarse = {n for n, p in network.named_parameters() if p.dtype != torch.float32 and p.dim() < 2}
    still = [name for name in after if before.get(name) == after[name] and name not in coarse]
    if set(before) != set(after):
        return Check(False, "other tensors train now than at the start")
    if not after or len(still) == len(after) or (still and steps > 1):
        first = f", the first is {still[0]}" if still else ""
        return Check(False, f"{len(still)} of {len(after)} tensors that should train did not move{first}")
    moved = sum(before[name] != after[name] for name in after)
    return Check(True, f"{moved} of {len(after)} trained tensors moved")


def output_changed(before: Tensor, after: Tensor) -> Check:
    """(T, V) twice: logits of the probe at the start and now."""
    if not after.isfinite().all():
        return Check(False, "the tuned model's output is not a number")
    difference = float((after - before).abs().max())
    sentence = f"the largest logit of the probe moved by {difference:.2g}" if difference else "the output is the base's"
    return Check(difference > 0, sentence)


def file_equals_memory(network: nn.Module, now: Tensor, artifact: Path, *, base: Path, probe: Rows) -> Check:
    """Read `artifact` in a fresh process, over `base` when it is an adapter, and compare its logits with `now`."""
    weight = next(network.parameters())
    whole = (artifact / "config.json").is_file()
    dtype = next(p.dtype for name, p in network.named_parameters() if whole or not p.requires_grad)
    try:
        fresh = fresh_logits(
            artifact if whole else base,
            probe,
            adapter=None if whole else artifact,
            dtype=dtype,
            device=str(weight.device),
        )
    except (RunFailed, UserError) as error:
        return Check(False, str(error))
    if torch.equal(fresh, now):
        return Check(True, "read in a fresh process, the file gives the same logits to the bit")
    if fresh.shape != now.shape or not fresh.isfinite().all():
        return Check(False, "read in a fresh process, the file gives logits of another shape or not-a-number")
    relative = float((fresh - now).abs().max() / now.abs().max())
    sentence = f"read in a fresh process, the file gives logits within {relative:.1e} of the largest"
    return Check(relative <= CLOSE[dtype], sentence)


def _digests(tensors: Iterable[tuple[str, Tensor]]) -> dict[str, str]:
    """Hashing lets go of the interpreter: tensors are read side by side."""
    pairs = list(tensors)
    with ThreadPoolExecutor(max_workers=4) as pool:
        return dict(zip((name for name, _ in pairs), pool.map(_digest, (t for _, t in pairs)), strict=True))


def _digest(tensor: Tensor) -> str:
    raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    digest = hashlib.blake2b(f"{tensor.dtype} {tuple(tensor.shape)}".encode(), digest_size=16)
    digest.update(memoryview(raw.data))
    return digest.hexdigest()
