"""A whole image model as one file for A1111 and ComfyUI, read back and compared before it is said to be done."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from tunesmith.core.errors import RunFailed
from tunesmith.export.picture_names import legacy
from tunesmith.export.single_read import Source, unpack
from tunesmith.export.single_write import write_single
from tunesmith.models.check_weights import check_safetensors, read_json
from tunesmith.models.diffusion.load import VAE, check_pipeline, generation_of, weights_of


def write_checkpoint(folder: Path, output: Path) -> Path:
    """Write the folder of diffusers `folder` as the file `output`. -> `output`.

    The file is unpacked again beside it, which takes as much room for a while. UserError where something lies there;
    RunFailed, with the file removed, when a number of it differs.
    """
    family = check_pipeline(folder)
    weights = {part: weights_of(folder / part) for part in (family.denoiser, VAE, *family.encoders)}
    generation = generation_of(family, read_json(folder / family.denoiser / "config.json"))
    write_single(output, folder, weights, generation)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as scratch:
            nowhere = Path(scratch) / "parts"
            source = Source(output, check_safetensors(output), nowhere, lambda: nowhere)
            again = unpack(source, Path(scratch) / "folder", lambda _: None)
            for part, files in weights.items():
                _refuse_difference(part, files, weights_of(again / part))
    except BaseException:
        output.unlink(missing_ok=True)
        raise
    return output


def _refuse_difference(part: str, before: list[Path], after: list[Path]) -> None:
    with ExitStack() as stack:
        found = {name: (own, file) for name, own, file in _tensors(part, after, stack)}
        for name, own, file in _tensors(part, before, stack):
            if name.endswith("position_ids"):  # numbers in order, which older versions kept
                continue
            there = found.get(name)
            if there is None or not torch.equal(file.get_tensor(own), there[1].get_tensor(there[0])):
                raise RunFailed(f"{part}: `{own}` of the file is not what the folder holds; the file is removed")


def _tensors(part: str, files: list[Path], stack: ExitStack) -> Iterator[tuple[str, str, Any]]:
    """-> a name that versions of transformers agree on, the name in the file, and the file."""
    for path in files:
        file = stack.enter_context(safe_open(path, framework="pt"))
        for own in file.keys():  # noqa: SIM118 - it is no mapping
            yield legacy(part, own.removeprefix("text_model.")), own, file
