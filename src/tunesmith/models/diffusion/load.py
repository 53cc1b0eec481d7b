"""Opens an image model: a checked folder of parts becomes a denoiser, an autoencoder, and encoders of texts.

Everything that can be refused is refused before weights are allocated; nothing that is loaded can run code.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from tunesmith.core.errors import UserError
from tunesmith.models.check_weights import check_safetensors, read_json, refuse_if_not_finite
from tunesmith.models.diffusion.denoiser import Parts
from tunesmith.models.diffusion.family import INDEX, Family, family_of, is_pipeline
from tunesmith.models.diffusion.library import diffusers
from tunesmith.models.fingerprint import file_sha256
from tunesmith.models.gguf import quiet
from tunesmith.models.load import Place, told

VAE = "vae"
Generation = Literal["sd1", "sd2", "sdxl", "sd3", "flux"]
PLACES = 128  # of a latent's edge, where a model says nothing: FLUX


@dataclass(frozen=True, slots=True)
class PictureBase:
    """A pretrained image model, ready to be changed."""

    parts: dict[str, Any]  # modules and tokenizers by their names in the folder, all of them frozen
    family: Family
    noise: dict[str, Any]  # the numbers of its schedule
    name: str  # as the user wrote it
    folder: Path
    fingerprint: str
    licence: str | None
    source: str
    note: str | None

    @property
    def denoiser(self) -> Any:
        return self.parts[self.family.denoiser]

    @property
    def generation(self) -> Generation:
        return generation_of(self.family, self.denoiser.config)

    @property
    def vae(self) -> Any:
        return self.parts[VAE]

    @property
    def changeable(self) -> Parts:
        """The tree that an adapter may be attached to: the denoiser and the encoders."""
        return Parts({name: self.parts[name] for name in (self.family.denoiser, *self.family.encoders)})

    @property
    def multiple(self) -> int:
        """Edges of pictures are multiples of so many pixels."""
        return shape_of(self.folder)[1]

    @property
    def size(self) -> int:
        """The edge of the pictures that it was made for, in pixels."""
        return shape_of(self.folder)[0]


def generation_of(family: Family, config: Mapping[str, Any]) -> Generation:
    """The family as files of adapters and checkpoints call it, from the denoiser's configuration: SD 2 reads a wider
    encoder than SD 1."""
    if family.name != "sd":
        return family.name
    return "sd2" if config["cross_attention_dim"] == 1024 else "sd1"


def shape_of(folder: Path) -> tuple[int, int]:
    """-> the edge of the pictures that a model was made for, and what edges are multiples of, in pixels.

    A place of the latent is a square of pixels, twice as wide for each halving of the autoencoder; a U-Net halves again
    with each of its blocks but the last, and a transformer reads squares of two by two places.
    """
    family = check_pipeline(folder)
    inner, vae = (read_json(folder / part / "config.json") for part in (family.denoiser, VAE))
    pixels = 2 ** (len(vae["block_out_channels"]) - 1)
    halved = 2 ** (len(inner["block_out_channels"]) - 1) if family.denoiser == "unet" else 2
    places = inner.get("sample_size") or PLACES
    return int((places if isinstance(places, int) else places[0]) * pixels), pixels * halved


def check_pipeline(folder: Path) -> Family:
    """The family of the model in `folder`, after all checks that need no weights in memory."""
    if not is_pipeline(folder):
        if (folder / "config.json").is_file():
            raise UserError(f"{folder}: this is a text model; it cannot make pictures. Name a folder with {INDEX}")
        raise UserError(f"{folder}: no {INDEX}; an image model is a folder with it and one folder for each part")
    family = family_of(folder)
    for part in (family.denoiser, VAE, *family.encoders):
        _refuse_missing(folder / part / "config.json")
        for path in weights_of(folder / part):
            check_safetensors(path)
    return family


def _refuse_missing(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"{path}: missing; get the model again")
    read_json(path)


def weights_of(folder: Path) -> list[Path]:
    """The safetensors files of a part. UserError when there are none, or only a pickle."""
    found = [p for p in sorted(folder.glob("*.safetensors")) if ".fp16." not in p.name and ".non_ema." not in p.name]
    if found:
        return found
    others = [p.name for p in (*folder.glob("*.bin"), *folder.glob("*.fp16.safetensors"))]
    hint = f"{others[0]} is not read; " if others else ""
    raise UserError(f"{folder}: no safetensors weights; {hint}save the model with save_pretrained, in safetensors")


def load_pipeline(place: Place, *, dtype: torch.dtype, cache: Path) -> PictureBase:
    """Load the parts of `place`: the denoiser and the encoders in `dtype`, the autoencoder in float32.

    Half precision overflows in the autoencoders of some families, and pictures become black. UserError, with file and
    key, when something is missing, damaged, of an unknown family, or holds not-a-number.
    """
    folder = place.path
    family = check_pipeline(folder)
    index = read_json(folder / INDEX)
    parts: dict[str, Any] = {}
    for part in (family.denoiser, VAE, *family.encoders, *family.tokenizers):
        library, kind = index[part]
        parts[part] = _loaded(folder, part, library, kind, torch.float32 if part == VAE else dtype)
    licence, note = told(folder)
    return PictureBase(
        parts=parts,
        family=family,
        noise=read_json(folder / "scheduler" / "scheduler_config.json"),
        name=place.name,
        folder=folder,
        fingerprint=pipeline_fingerprint(folder, family, cache),
        licence=place.licence or licence,
        source=place.source,
        note=place.note or note,
    )


def _loaded(folder: Path, part: str, library: str, kind: str, dtype: torch.dtype) -> Any:
    import transformers

    from_library = getattr(diffusers() if library == "diffusers" else transformers, kind)
    where = folder / part
    try:
        with quiet():
            if part.startswith("tokenizer"):
                return from_library.from_pretrained(where, local_files_only=True)
            how = {"torch_dtype": dtype} if library == "diffusers" else {"dtype": dtype}
            found, problems = from_library.from_pretrained(
                where, use_safetensors=True, local_files_only=True, output_loading_info=True, **how
            )
    except (ValueError, RuntimeError, OSError, KeyError, TypeError) as error:
        line = " ".join(str(error).split())[:300] or type(error).__name__
        raise UserError(f"{where}: {library} cannot load it: {line}") from error
    if missing := sorted(problems["missing_keys"]):
        raise UserError(
            f"{where}: {len(missing)} weights are missing, the first is `{missing[0]}`; get the model again"
        )
    assert isinstance(found, nn.Module)
    refuse_if_not_finite(found, where)
    return found.requires_grad_(False).eval()


def pipeline_fingerprint(folder: Path, family: Family, cache: Path) -> str:
    """sha256 over names and contents of the weights and configurations of all parts."""
    whole = hashlib.sha256()
    for part in (family.denoiser, VAE, *family.encoders):
        for path in (folder / part / "config.json", *weights_of(folder / part)):
            whole.update(f"{part}/{path.name} {file_sha256(path, cache)}\n".encode())
    noise = read_json(folder / "scheduler" / "scheduler_config.json")
    whole.update(json.dumps(noise, sort_keys=True).encode())
    return whole.hexdigest()
