"""An image model as a folder of diffusers: the files of the base, with what learned in the place of theirs."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from tunesmith.export.folder import whole_folder
from tunesmith.export.picture_names import legacy
from tunesmith.export.tensor_file import Lazy, write_tensors

INDEX = "model_index.json"


def write_pipeline(folder: Path, base: Path, parts: Mapping[str, Any], *, replace: bool = False) -> Path:
    """Write the model in `base` with other `parts`, by their names there. -> `folder`.

    Parts that did not learn are copied byte by byte, what is no file of a part (other formats, sample pictures) is not.
    """
    with whole_folder(folder, replaces=INDEX if replace else None) as aside:
        shutil.copyfile(base / INDEX, aside / INDEX)
        for place in sorted(path for path in base.iterdir() if path.is_dir() and not path.name.startswith(".")):
            if place.name in parts:
                parts[place.name].save_pretrained(aside / place.name)
                _give_old_names(aside / place.name)
            elif place.name not in ("safety_checker", "feature_extractor", "image_encoder"):
                shutil.copytree(place, aside / place.name, ignore=shutil.ignore_patterns("*.bin", "*.ckpt", "*.onnx*"))
    return folder


def _give_old_names(part: Path) -> None:
    """Newer transformers save CLIP without the `text_model` that converters and other programs look for; they read it
    with it as well."""
    for path in sorted(part.glob("*.safetensors")):
        tensors = load_file(path)
        named = {legacy(part.name, name): tensor for name, tensor in tensors.items()}
        if named.keys() != tensors.keys():
            lazy = {n: Lazy(t.dtype, tuple(t.shape), lambda t=t: t) for n, t in named.items()}  # type: ignore[misc]
            write_tensors(path, lazy, {"format": "pt"})
