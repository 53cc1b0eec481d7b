"""A base in one file: unpacked once into the cache as a folder of diffusers, under the hash of all it is made of."""

import hashlib
from pathlib import Path

from tunesmith.catalogue.fetch import fetch
from tunesmith.core.errors import UserError
from tunesmith.export.single_read import Source, unpack
from tunesmith.models.check_weights import check_safetensors
from tunesmith.models.fingerprint import file_sha256
from tunesmith.models.load import Say

SUFFIX = ".safetensors"
PICKLES = (".ckpt", ".pt", ".pth", ".bin")
_VERSION = 1  # of what unpacking makes


def is_single(path: Path) -> bool:
    return path.suffix == SUFFIX and path.is_file()


def refuse_pickle(path: Path) -> None:
    """UserError for a file that can run code when it is read."""
    if path.suffix in PICKLES:
        raise UserError(
            f"base: {path} can run code when it is read and is never opened; convert it to .safetensors where that "
            "does no harm (A1111: Checkpoint Merger with one model; diffusers: from_single_file, then save_pretrained)"
        )


def unpacked(path: Path, *, allow_download: bool, cache: Path, say: Say) -> Path:
    """-> the folder that a checkpoint stands for. What it lacks lies in `NAME.parts` beside it.

    UserError, in one line, for a file that is damaged, unknown, or not whole.
    """
    shapes = check_safetensors(path)
    parts = path.with_name(path.stem + ".parts")
    whole = hashlib.sha256(f"{_VERSION} {file_sha256(path, cache)}\n".encode())
    for file in sorted(one for one in parts.rglob("*") if one.is_file()):
        whole.update(f"{file.relative_to(parts)} {file_sha256(file, cache)}\n".encode())
    folder = cache / "single" / whole.hexdigest()[:32]

    def words() -> Path:
        return fetch("clip-words", allow_download=allow_download, cache=cache, say=say)

    if not folder.is_dir():
        unpack(Source(path, shapes, parts, words), folder, say)
        say(f"{path}: kept as a folder of diffusers in {folder}")
    return folder
