"""From the name of a base in a recipe to the base: a folder, a file, a name of the catalogue, or a hub id."""

from pathlib import Path

import torch

from tunesmith.catalogue.entries import CATALOGUE
from tunesmith.catalogue.fetch import default_cache, fetch
from tunesmith.core.errors import UserError, near
from tunesmith.core.headed import Head
from tunesmith.core.layers import Quantization
from tunesmith.models.hub import HUB_ID, snapshot
from tunesmith.models.load import Base, Place, Say
from tunesmith.models.load import load_base as load_place
from tunesmith.single_file import is_single, refuse_pickle, unpacked


def resolve(name: str, *, allow_download: bool = False, cache: Path | None = None, say: Say = print) -> Place:
    """Where the base `name` lies; nothing of it is read yet, but an image model in one file, which becomes a folder.

    A name of the catalogue comes first (write `./name` for a folder of that name), then a path, then a hub id.
    `allow_download`: whether what is not on this machine may be fetched; to name a thing is not to ask for that.
    """
    if name in CATALOGUE:
        found = CATALOGUE[name]
        if found.kind != "base":
            bases = ", ".join(e.name for e in CATALOGUE.values() if e.kind == "base")
            raise UserError(f"base: `{name}` is {found.about.split(',')[0]}, not a base; the catalogue has {bases}")
        path = fetch(name, allow_download=allow_download, cache=cache, say=say)
        return Place(name, path, found.source, found.licence, found.note)
    path = Path(name).expanduser()
    if path.is_dir() or path.is_file():
        if path.is_file():
            refuse_pickle(path)
        if is_single(path):
            cache = cache or default_cache()
            return Place(name, unpacked(path, allow_download=allow_download, cache=cache, say=say))
        if path.is_file() and path.suffix != ".gguf":
            raise UserError(f"base: {name} is a file; a base is a folder, a .gguf file, or an image model in a "
                            ".safetensors file")  # fmt: skip
        return Place(name, path)
    if HUB_ID.fullmatch(name) and not name.endswith(".gguf"):
        return Place(name, snapshot(name, allow_download=allow_download), f"model hub, {name}")
    raise UserError(f"base: no folder, file or name of the catalogue is called `{name}`{near(name, CATALOGUE)}")


def load_base(  # noqa: PLR0913 - where it lies, and what is to become of it
    name: str,
    *,
    dtype: torch.dtype,
    allow_download: bool = False,
    cache: Path | None = None,
    say: Say = print,
    quantize: Quantization | None = None,
    head: Head | None = None,
) -> Base:
    """`resolve`, then load in `dtype`. See `tunesmith.models.load.load_base` for what is refused."""
    place = resolve(name, allow_download=allow_download, cache=cache, say=say)
    return load_place(place, dtype=dtype, cache=cache or default_cache(), say=say, quantize=quantize, head=head)
