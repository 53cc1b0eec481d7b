"""A checkpoint in one file becomes a folder of diffusers: every tensor that the folder needs, and none guessed.

What the file does not hold (configurations, tokenizers, encoders of a file with a transformer alone) comes from its own
header, from the folder `NAME.parts` beside it, or from what is known of the published models; in that order, the folder
first of all.
"""

import base64
import json
import shutil
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from tunesmith.core.errors import UserError
from tunesmith.core.files import dump
from tunesmith.export.folder import whole_folder
from tunesmith.export.seats import Seat, turned, turned_back
from tunesmith.export.single_known import Shapes, known
from tunesmith.export.single_layout import DENOISERS, EMBEDDED, LAYOUTS, Family, Laid, family_of_names
from tunesmith.export.tensor_file import NUMBERS, Lazy, write_tensors

LARGEST = 64 << 20  # bytes of configurations and tokenizers in a header
WITH_V = 0.09  # deviation of one bias: ComfyUI tells the two kinds of SD 2 by it
_V_SHOWS = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"
_KINDS = {
    "diffusers": ("AutoencoderKL", "UNet2DConditionModel", "SD3Transformer2DModel", "FluxTransformer2DModel"),
    "transformers": ("CLIPTextModel", "CLIPTextModelWithProjection", "T5EncoderModel"),
}
_SMALL = {"F8_E4M3": torch.bfloat16, "F8_E5M2": torch.bfloat16}  # bfloat16 holds each of their numbers
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Source:
    """A file and what lies beside it."""

    path: Path
    shapes: Shapes  # of its tensors
    parts: Path  # a folder of diffusers, whole or in part, or nothing
    words: Callable[[], Path]  # the tokenizer of CLIP, where nothing else gives one


def unpack(source: Source, output: Path, say: Say) -> Path:
    """Write the model in a file as a folder of diffusers to `output`. -> `output`, whole or absent.

    UserError, in one line, for a file that is no known model, holds an unknown layer of the denoiser, or lacks a part.
    """
    family = family_of_names(source.path, source.shapes)
    with safe_open(source.path, framework="pt") as file, whole_folder(output) as aside:
        said = _texts(source, family, file, say)
        for name, raw in said.items():
            (aside / name).parent.mkdir(exist_ok=True)
            (aside / name).write_bytes(raw)
        index = _index(source.path, said, family)
        for part, laid in LAYOUTS[family].items():
            prefix = _prefix(laid, source.shapes)
            if prefix is None:
                _copy_part(source, part, aside)
                continue
            library, kind = index[part]
            network = _empty(source.path, library, kind, json.loads(said[f"{part}/config.json"]))
            tensors = _tensors(source, part, prefix, laid.seats(_config(network)), network, file)
            name = "model.safetensors" if library == "transformers" else "diffusion_pytorch_model.safetensors"
            write_tensors(aside / part / name, tensors, {"format": "pt"})
        _tokenizers(source, family, index, aside)
    return output


def _texts(source: Source, family: Family, file: Any, say: Say) -> dict[str, bytes]:
    """-> what of the folder is no weight, by its path there."""
    metadata = file.metadata() or {}
    if EMBEDDED in metadata:
        found = _embedded(source.path, metadata[EMBEDDED], family)
        say(f"{source.path}: {_TITLES[family]}, with its configurations in the header")
    else:
        v_prediction = family == "sd2" and _predicts_v(file, metadata)
        try:
            configs = known(family, source.shapes, v_prediction)
        except (KeyError, IndexError) as error:
            raise UserError(f"{source.path}: no whole {_TITLES[family]} ({error}); get the file again") from error
        found = {name: dump(value).encode() for name, value in configs.items()}
        kind = json.loads(found["scheduler/scheduler_config.json"]).get("prediction_type", "epsilon")
        told = "" if family in ("sd3", "flux") else f", which predicts {kind}"
        say(f"{source.path}: {_TITLES[family]}{told}; its configurations are those of the published model")
    for path in sorted(source.parts.glob("*/*.json")):
        name = f"{path.parent.name}/{path.name}"
        if path.name in ("config.json", "scheduler_config.json") and name in found:
            found[name] = path.read_bytes()
            say(f"{path}: taken instead of what the file says")
    return found


_TITLES = {"sd1": "Stable Diffusion 1", "sd2": "Stable Diffusion 2", "sdxl": "Stable Diffusion XL",
           "sd3": "Stable Diffusion 3", "flux": "FLUX"}  # fmt: skip


def _embedded(path: Path, packed: str, family: Family) -> dict[str, bytes]:
    """The files in a header; names that could lie elsewhere than in the folder are refused, as is what is too large."""
    broken = UserError(f"{path}: the folder in its header is damaged; get the file again")
    try:
        unpacker = zlib.decompressobj()
        raw = unpacker.decompress(base64.b64decode(packed, validate=True), LARGEST)
        texts = json.loads(raw) if not unpacker.unconsumed_tail else None
    except (ValueError, zlib.error) as error:
        raise broken from error
    if not isinstance(texts, dict):
        raise broken
    homes = {*LAYOUTS[family], *_tokenizer_names(family), "scheduler"}
    found = {}
    for name, text in texts.items():
        place = PurePosixPath(name)
        inside = len(place.parts) == 2 and place.parts[0] in homes and place.suffix in (".json", ".txt", ".model")
        if not (name == "model_index.json" or inside) or not isinstance(text, str):
            raise broken
        try:
            found[name] = text.encode("latin-1")
        except UnicodeEncodeError as error:
            raise broken from error
    configs = [f"{part}/config.json" for part in LAYOUTS[family]]
    if any(name not in found for name in ("model_index.json", "scheduler/scheduler_config.json", *configs)):
        raise broken
    return found


def _predicts_v(file: Any, metadata: Mapping[str, str]) -> bool:
    said = metadata.get("modelspec.prediction_type")
    if said is not None:
        return said == "v"
    with suppress(Exception):
        return float(file.get_tensor(_V_SHOWS).float().std(unbiased=False)) > WITH_V
    return True  # the larger of the two published models


def _index(path: Path, said: Mapping[str, bytes], family: Family) -> dict[str, list[str]]:
    """-> library and class of each part: such as may be made, whatever a header says."""
    index = json.loads(said["model_index.json"])
    for part in LAYOUTS[family]:
        named = index.get(part) if isinstance(index, dict) else None
        if not (isinstance(named, list) and len(named) == 2 and named[1] in _KINDS.get(str(named[0]), ())):
            raise UserError(f"{path}: its header names `{part}` {named}, which is no known part; get the file again")
    return dict(index)


def _prefix(laid: Laid, names: Iterable[str]) -> str | None:
    """-> below which prefix a part lies; None for one that the file does not hold."""
    names = list(names)
    return next((p for p in laid.prefixes if any(name.startswith(p) for name in names)), None)


def _empty(path: Path, library: str, kind: str, config: dict[str, Any]) -> nn.Module:
    """-> the network without numbers: its names and shapes."""
    import diffusers
    import transformers

    try:
        with torch.device("meta"):
            if library == "diffusers":
                return getattr(diffusers, kind).from_config(config)
            made = getattr(transformers, kind)
            return made(made.config_class(**{k: v for k, v in config.items() if k != "model_type"}))
    except (TypeError, ValueError, KeyError, RuntimeError) as error:
        line = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: the configuration of {kind} makes no network: {line}") from error


def _config(network: nn.Module) -> Mapping[str, Any]:
    config: Any = network.config
    return dict(config) if isinstance(config, Mapping) else dict(config.to_dict())


def _tensors(
    source: Source, part: str, prefix: str, seats: Callable[[str], Seat | None], network: nn.Module, file: Any
) -> dict[str, Lazy]:
    """-> the tensors of a part, still in the file. UserError for one that is missing, of another size, or unknown."""
    wanted = {name: tensor for name, tensor in network.state_dict().items() if seats(name) is not None}
    fused: dict[str, dict[int, int]] = {}
    for name, tensor in wanted.items():
        seat = _seat(seats, name)
        fused.setdefault(seat.name, {})[seat.place] = tensor.shape[0]
    found = {}
    used = set()
    for name, tensor in wanted.items():
        seat = _seat(seats, name)
        whole = _there(source.shapes, prefix, seat.name)
        if whole is None:
            if name == "text_projection.weight":  # files of SD 3 leave it out: it changes nothing there
                found[name] = Lazy(torch.float32, tuple(tensor.shape), partial(torch.eye, len(tensor)))
                continue
            raise UserError(f"{source.path}: `{prefix}{seat.name}` is missing; get the file again")
        used.add(whole)
        found[name] = _lazy(source, file, whole, seat, (tensor.shape, fused[seat.name]))
    strange = [n for n in source.shapes if n.startswith(prefix) and n not in used]
    if part in DENOISERS and prefix and strange:
        raise UserError(f"{source.path}: `{strange[0][:100]}` is no layer of this family; a changed model is not read")
    return found


def _seat(seats: Callable[[str], Seat | None], name: str) -> Seat:
    seat = seats(name)
    assert seat is not None
    return seat


def _there(shapes: Shapes, prefix: str, name: str) -> str | None:
    """-> the name in the file; early files of SD 1 leave `text_model` out."""
    return next((n for n in (prefix + name, prefix + name.removeprefix("text_model.")) if n in shapes), None)


def _lazy(source: Source, file: Any, whole: str, seat: Seat, wanted: tuple[torch.Size, Mapping[int, int]]) -> Lazy:
    """-> the tensor, or its share of one that holds several. `wanted`: its shape, and the rows of all that do."""
    shape, rows = wanted
    begin = sum(count for place, count in rows.items() if place < seat.place)
    slices = file.get_slice(whole)
    kind = slices.get_dtype()
    dtype = _SMALL.get(kind) or NUMBERS.get(kind)
    expected = turned(torch.empty(shape, device="meta"), seat.turn).shape
    if len(rows) > 1:
        expected = torch.Size((sum(rows.values()), *expected[1:]))
    there = torch.Size(source.shapes[whole])
    if dtype is None:
        raise UserError(f"{source.path}: `{whole}` holds {kind}, which is not read")
    if there not in (expected, shape):  # attention of autoencoders lies there as matrices, too
        hint = "; models for filling in are not read" if whole.endswith("input_blocks.0.0.weight") else ""
        raise UserError(f"{source.path}: `{whole}` has shape {tuple(there)}, {tuple(expected)} is expected{hint}")

    def make() -> torch.Tensor:
        tensor = slices[begin : begin + rows[seat.place]] if len(rows) > 1 else file.get_tensor(whole)
        return turned_back(tensor, seat.turn).to(dtype)

    return Lazy(dtype, tuple(shape), make)


def _copy_part(source: Source, part: str, aside: Path) -> None:
    place = source.parts / part
    if not any(place.glob("*.safetensors")):
        raise _lacking(source, part)
    shutil.copytree(place, aside / part, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.bin", "*.ckpt"))


def _lacking(source: Source, name: str) -> UserError:
    return UserError(f"{source.path}: holds no {name}; put that folder of a diffusers model into {source.parts}")


def _tokenizer_names(family: Family) -> list[str]:
    return [part.replace("text_encoder", "tokenizer") for part in LAYOUTS[family] if part.startswith("text_encoder")]


def _tokenizers(source: Source, family: Family, index: Mapping[str, Any], aside: Path) -> None:
    for name in _tokenizer_names(family):
        if (source.parts / name).is_dir():
            shutil.copytree(source.parts / name, aside / name, dirs_exist_ok=True)
        elif (aside / name).is_dir():
            continue
        elif index[name][1].startswith("CLIP"):
            shutil.copytree(source.words(), aside / name)
            if family == "sd2" or name == "tokenizer_2":  # OpenCLIP fills up with its token 0
                settings = aside / name / "tokenizer_config.json"
                settings.write_text(dump(json.loads(settings.read_text()) | {"pad_token": "!"}), encoding="utf-8")
        else:
            raise _lacking(source, name)
