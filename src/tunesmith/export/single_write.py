"""A folder of diffusers as one file in the original layout, which A1111, ComfyUI and diffusers load.

What of the folder is no weight (configurations, tokenizers) lies in the header, so that the file alone becomes the
folder again, to the bit. One tensor is in memory at a time.
"""

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from tunesmith.core.errors import UserError
from tunesmith.core.files import make_folder
from tunesmith.export.kohya_header import ARCHITECTURES
from tunesmith.export.seats import Seat, turned
from tunesmith.export.single_layout import EMBEDDED, LAYOUTS, V_PREDICTION, ZERO_SNR, Family
from tunesmith.export.tensor_file import NUMBERS, Lazy, write_tensors

_NO_WEIGHTS = (".json", ".txt", ".model")
_MADE_AGAIN = ("position_ids", "encoder.embed_tokens.weight")  # numbers in order; a second name of `shared.weight`


def write_single(output: Path, folder: Path, weights: Mapping[str, Sequence[Path]], family: Family) -> Path:
    """Write the model in `folder` to the file `output`. `weights`: the safetensors files of each part. -> `output`.

    UserError where something lies at `output`, or for a tensor that the original layout has no place for.
    """
    if output.exists():
        raise UserError(f"{output}: exists already; choose another name or remove it")
    make_folder(output.parent)
    with ExitStack() as stack:
        tensors: dict[str, Lazy] = {}
        for part, laid in LAYOUTS[family].items():
            config = json.loads((folder / part / "config.json").read_text(encoding="utf-8"))
            opened = [stack.enter_context(safe_open(path, framework="pt")) for path in weights[part]]
            seats = laid.seats(config)
            placed: dict[str, dict[int, tuple[Any, str, Seat]]] = {}
            for file in opened:
                for name in file.keys():  # noqa: SIM118 - it is no mapping
                    if name.endswith(_MADE_AGAIN):
                        continue
                    if (seat := seats(name)) is None:
                        raise UserError(f"{folder / part}: `{name}` has no place in a single file of {family}")
                    placed.setdefault(seat.name, {})[seat.place] = file, name, seat
            tensors |= {laid.prefixes[0] + name: _joined(own) for name, own in placed.items()}
        noise = json.loads((folder / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))
        tensors |= _marks(family, noise)
        write_tensors(output, tensors, _header(folder, family, noise, output.stem))
    return output


def _joined(placed: Mapping[int, tuple[Any, str, Seat]]) -> Lazy:
    """-> one tensor of the file, out of one or several of ours."""
    members = [placed[place] for place in sorted(placed)]

    def make() -> torch.Tensor:
        return _below([turned(file.get_tensor(name), seat.turn) for file, name, seat in members])

    kinds = [NUMBERS[file.get_slice(name).get_dtype()] for file, name, _ in members]
    shapes = [
        turned(torch.empty(file.get_slice(name).get_shape(), dtype=kind, device="meta"), seat.turn)
        for (file, name, seat), kind in zip(members, kinds, strict=True)
    ]
    whole = _below(shapes)
    return Lazy(whole.dtype, tuple(whole.shape), make)


def _below(tensors: list[torch.Tensor]) -> torch.Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)


def _marks(family: Family, noise: Mapping[str, Any]) -> dict[str, Lazy]:
    """What other programs look for in a file of SDXL, whose configuration they do not see."""
    if family != "sdxl" or noise.get("prediction_type") != "v_prediction":
        return {}
    names = [V_PREDICTION, *([ZERO_SNR] if noise.get("rescale_betas_zero_snr") else [])]
    return {name: Lazy(torch.float32, (0,), lambda: torch.empty(0)) for name in names}


def _header(folder: Path, family: Family, noise: Mapping[str, Any], title: str) -> dict[str, str]:
    texts = {"model_index.json": (folder / "model_index.json").read_bytes()}
    kept = [*LAYOUTS[family], *(part.replace("text_encoder", "tokenizer") for part in LAYOUTS[family]), "scheduler"]
    for part in sorted(set(kept)):
        for path in sorted((folder / part).glob("*")):
            if path.suffix in _NO_WEIGHTS and not path.name.endswith(".index.json"):
                texts[f"{part}/{path.name}"] = path.read_bytes()
    packed = zlib.compress(json.dumps({name: raw.decode("latin-1") for name, raw in texts.items()}).encode(), 9)
    predicts = {"v_prediction": "v"}.get(str(noise.get("prediction_type")), "epsilon")
    return {
        "format": "pt",
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": ARCHITECTURES[family],
        "modelspec.title": title,
        **({} if family in ("sd3", "flux") else {"modelspec.prediction_type": predicts}),
        EMBEDDED: base64.b64encode(packed).decode(),
    }
