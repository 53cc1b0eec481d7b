"""An adapter of pictures written into its base: in float32, compared before it is said to be done."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tunesmith.catalogue.fetch import default_cache
from tunesmith.core.errors import RunFailed, UserError
from tunesmith.export.diffusion_plain import write_pipeline
from tunesmith.export.embedding import read_embedding
from tunesmith.export.folder import refuse_taken
from tunesmith.models.diffusion.load import load_pipeline
from tunesmith.models.diffusion.paint import pipeline_of
from tunesmith.models.load import Place
from tunesmith.studio.checkpoint import write_checkpoint
from tunesmith.studio.files import attach_saved
from tunesmith.studio.fresh import latents_of
from tunesmith.studio.words import add_saved, grown

CLOSE = 1e-3  # of the largest latent: a sum that is rounded once, and not once for each picture
PROMPTS = ("", "a picture")


@dataclass(frozen=True, slots=True)
class Merged:
    """What was made."""

    path: Path  # a folder of diffusers, or one file
    bytes: int
    apart: float  # the largest difference of what both paint, as a share of the largest latent


def merge_pictures(
    place: Place, adapter: Path | None, output: Path, dtype: torch.dtype = torch.float32, *, word: Path | None = None
) -> Merged:
    """Write base and adapter, and the new `word`, as one plain model to `output`, and read it back.

    Raises UserError for an adapter of another base, and RunFailed when base with adapter and the merged model differ.
    """
    refuse_taken(output)
    base = load_pipeline(place, dtype=torch.float32, cache=default_cache())
    network = base.changeable
    methods = attach_saved(network, adapter, base.generation) if adapter is not None else {}
    prompts = list(PROMPTS)
    if word is not None:
        add_saved(base, word)
        prompts.append(f"a picture of {read_embedding(word).word.token}")
    network.eval()
    wanted = latents_of(pipeline_of(base.parts, base.family, base.noise), prompts)
    for name, method in methods.items():
        part: nn.Module = getattr(network, name)
        if (reason := method.cannot_merge(part)) is not None:
            raise UserError(f"merge: {reason}; use the adapter with its base")
        method.merge(part)
    changed: dict[str, Any] = {name: getattr(network, name) for name in methods}
    if word is not None:
        changed |= grown(base, {name: base.parts[name] for name in base.family.encoders})
    changed = {name: part.to(dtype) if isinstance(part, nn.Module) else part for name, part in changed.items()}
    write_pipeline(output, place.path, changed)
    again = load_pipeline(Place(str(output), output), dtype=torch.float32, cache=default_cache())
    found = latents_of(pipeline_of(again.parts, again.family, again.noise), prompts)
    apart = float((found - wanted).abs().max() / wanted.abs().max())
    if not apart <= (CLOSE if dtype == torch.float32 else 0.1):
        raise RunFailed(
            f"{output}: the merged model paints otherwise than base and adapter ({apart:.1e} of the largest)"
        )
    size = sum(path.stat().st_size for path in output.rglob("*.safetensors"))
    return Merged(output, size, apart)


def merge_into_file(place: Place, adapter: Path, output: Path, dtype: torch.dtype = torch.float32) -> Merged:
    """As `merge_pictures`, as one file that A1111 and ComfyUI load. The folder that it is made of does not stay."""
    if output.exists():
        raise UserError(f"{output}: exists already; choose another name or remove it")
    folder = output.with_name(f".{output.name}.folder")
    shutil.rmtree(folder, ignore_errors=True)  # of a merge that was killed
    try:
        merged = merge_pictures(place, adapter, folder, dtype)
        write_checkpoint(folder, output)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Merged(output, output.stat().st_size, merged.apart)
