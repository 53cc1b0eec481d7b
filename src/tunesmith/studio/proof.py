"""What a run on pictures must show before it is a success: what should move moved, and the file is what was trained.

Shapes: N pictures, C channels, H and W of a latent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tunesmith.core.errors import RunFailed, UserError
from tunesmith.methods.inject import wrapped
from tunesmith.methods.words import LearnedRows
from tunesmith.models.diffusion.denoiser import Parts
from tunesmith.models.diffusion.paint import pipeline_of
from tunesmith.proof import CLOSE, Check, frozen_digest, frozen_unchanged, trained_digest, trained_moved
from tunesmith.studio.files import Saved
from tunesmith.studio.fresh import Reader, fresh_latents, latents_of
from tunesmith.studio.opening import Opened

ELSEWHERE = {torch.float32: 1e-3, torch.bfloat16: 5e-2}
"""Largest difference, as a share of the largest value, where another library adds the same numbers in another order."""


@dataclass(frozen=True, slots=True)
class PictureProof:
    """The network as it was before the first step, to hold the end against."""

    opened: Opened
    prompts: Sequence[str]
    latents: Tensor  # (N, C, H, W)
    frozen: Mapping[str, str]
    trained: Mapping[str, str]

    @classmethod
    def begin(cls, opened: Opened, network: Parts, prompts: Sequence[str]) -> "PictureProof":
        """Look at `network` with its method attached, before training."""
        return cls(opened, prompts, _painted(opened, network, prompts), frozen_digest(network), trained_digest(network))

    def end(self, network: Parts, saved: Saved, *, steps: int) -> dict[str, Check]:
        """-> each check by its name. Not one raises: a file that cannot be read back is a check that failed."""
        now = _painted(self.opened, network, self.prompts)
        whole = self.opened.recipe.method.kind == "full"  # then both are the same reader
        readers: tuple[Reader, ...] = ("tunesmith",)
        if self.opened.recipe.method.kind in ("lora", "token"):
            readers = ("tunesmith", "diffusers")
        found = self._read(saved, readers)
        checks = {
            "frozen_unchanged": frozen_unchanged(self.frozen, network),
            "trained_moved": trained_moved(self.trained, network, steps),
            "output_changed": _changed(self.latents, now),
            "file_equals_memory": self._equal(now, found, "tunesmith", CLOSE),
        }
        if (word := self.opened.objective.word) is not None:
            checks["word_learned"] = _word_learned(word.token, network)
        if whole or "diffusers" in readers:
            reader: Reader = "tunesmith" if whole else "diffusers"
            checks["diffusers_reads_it"] = self._equal(now, found, reader, ELSEWHERE)
        return checks

    def _read(self, saved: Saved, readers: Sequence[Reader]) -> Mapping[str, Tensor] | str:
        """-> what each reader paints, or why the file cannot be read."""
        opened = self.opened
        try:
            return fresh_latents(
                opened.base.folder,
                saved,
                self.prompts,
                readers=readers,
                dtype=opened.probe.dtype,
                device=str(opened.device),
                size=opened.recipe.pictures.size,
            )
        except (RunFailed, UserError) as error:
            return str(error)

    def _equal(
        self, now: Tensor, found: Mapping[str, Tensor] | str, reader: Reader, close: Mapping[torch.dtype, float]
    ) -> Check:
        if isinstance(found, str):
            return Check(False, found)
        fresh = found[reader]
        who = "a fresh process" if reader == "tunesmith" else "a fresh pipeline of diffusers"
        if torch.equal(fresh, now):
            return Check(True, f"read in {who}, the file paints the same pictures to the bit")
        if fresh.shape != now.shape or not fresh.isfinite().all():
            return Check(False, f"read in {who}, the file paints pictures of another shape or not-a-number")
        relative = float((fresh - now).abs().max() / now.abs().max())
        sentence = f"read in {who}, the file paints latents within {relative:.1e} of the largest"
        return Check(relative <= close[self.opened.probe.dtype], sentence)


def _painted(opened: Opened, network: Parts, prompts: Sequence[str]) -> Tensor:
    parts = {**opened.base.parts, **dict(network.named_children())}
    pipeline = pipeline_of(parts, opened.base.family, opened.base.noise)
    return latents_of(pipeline, prompts, opened.recipe.pictures.size)


def _word_learned(token: str, network: Parts) -> Check:
    """Each row of the word must differ from that of the word which it began as."""
    layers = [layer for _, layer in wrapped(network, LearnedRows)]
    moved = [(layer.rows.weight - layer.start()).norm(dim=1) for layer in layers]
    still = sum(int((row == 0).sum()) for row in moved)
    rows = sum(len(row) for row in moved)
    if still or not rows:
        return Check(False, f"{still} of {rows} rows of {token} mean what they began as")
    least = min(float(row.min()) for row in moved)
    return Check(True, f"each of {rows} rows of {token} moved, by at least {least:.2g}")


def _changed(before: Tensor, after: Tensor) -> Check:
    """(N, C, H, W) twice."""
    if not after.isfinite().all():
        return Check(False, "what the tuned model paints is not a number")
    difference = float((after - before).abs().max())
    sentence = (
        f"the latents of the probe moved by up to {difference:.2g}" if difference else "it paints what the base does"
    )
    return Check(difference > 0, sentence)
