"""A GGUF file becomes a plain folder of bfloat16 safetensors, once; from then on it is a base like any other."""

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from tunesmith.core.errors import UserError
from tunesmith.core.files import make_folder, sha256, write_json, writing
from tunesmith.models.fingerprint import file_sha256
from tunesmith.models.gguf_header import Header, read_header

RECORD = "converted.json"
_DENSE = ("F32", "F64", "F16", "BF16")


def plain_folder(path: Path, cache: Path, say: Callable[[str], None]) -> Path:
    """The converted form of the GGUF file `path`, from `cache` (keyed by the file's sha256) or made now.

    The weights are dequantised: what comes out is dense bfloat16 and says of itself what it was.
    `UserError`: the file is damaged, of a family that cannot be converted, or there is no room for the result.
    """
    header = read_header(path)
    _refuse_parts(path, header)
    digest = file_sha256(path, cache)
    folder = cache / "converted" / f"{path.stem}-{digest[:16]}"
    if folder.exists() and not _whole(folder, cache):
        say(f"{folder}: damaged since it was made; it is made again")
        shutil.rmtree(folder)
    if not folder.exists():
        _convert(path, header, digest, folder, say)
    return folder


def _whole(folder: Path, cache: Path) -> bool:
    """Whether every file is as it was when the folder was made. Known files are not read again."""
    try:
        files = json.loads((folder / RECORD).read_bytes())["files"]
        return all(file_sha256(folder / name, cache) == digest for name, digest in files.items())
    except (OSError, ValueError, KeyError):
        return False


def _refuse_parts(path: Path, header: Header) -> None:
    if header.values.get("split.count", 0) > 1:
        raise UserError(f"{path}: one of {header.values['split.count']} parts; join them with llama-gguf-split --merge")
    if not header.values.get("tokenizer.ggml.tokens"):
        raise UserError(f"{path}: no tokenizer inside; take a GGUF file of the whole model")


def _convert(path: Path, header: Header, digest: str, folder: Path, say: Callable[[str], None]) -> None:
    quantised = header.storage not in _DENSE
    what = f"a quantised checkpoint ({header.storage}), dequantised" if quantised else f"stored as {header.storage}"
    say(f"{path.name}: {what} to bfloat16; converting it once, about half a minute for each 100 MB")
    begin = time.monotonic()
    make_folder(folder.parent)
    with writing(folder), tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        made = Path(scratch) / "model"
        _write(path, header, made)
        record = {
            "from": path.name,
            "sha256": digest,
            "storage": header.kinds,
            "licence": header.licence,
            "note": f"{what} to bfloat16",
            "files": {p.name: sha256(p) for p in sorted(made.iterdir())},
        }
        write_json(made / RECORD, record)
        _move(made, folder)
    say(f"{path.name}: converted in {time.monotonic() - begin:.0f} s; kept in {folder}")


def _write(path: Path, header: Header, made: Path) -> None:
    with quiet():
        try:
            network = AutoModelForCausalLM.from_pretrained(
                path.parent,
                gguf_file=path.name,
                dtype=torch.bfloat16,
                quantization_config=GgufConfig(dequantize=True),
                local_files_only=True,
                trust_remote_code=False,
            )
            tokenizer = AutoTokenizer.from_pretrained(
                path.parent, gguf_file=path.name, local_files_only=True, trust_remote_code=False
            )
        except Exception as error:  # unsupported families fail in many ways inside transformers
            reason = " ".join(str(error).split())[:300]
            raise UserError(f"{path}: transformers cannot convert `{header.architecture}`: {reason}") from error
        assert all(p.is_floating_point() for p in network.parameters()), "a weight is still packed"
        network.save_pretrained(made)
        tokenizer.save_pretrained(made)


def _move(made: Path, folder: Path) -> None:
    try:
        made.rename(folder)
    except OSError:
        if not (folder / RECORD).is_file():
            raise
        # Another process was quicker with the same file.


@contextmanager
def quiet() -> Iterator[None]:
    """Without the progress bars of transformers: they are drawn for seconds and say nothing."""
    with redirect_stderr(StringIO()):
        yield
