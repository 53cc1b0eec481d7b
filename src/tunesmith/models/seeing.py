"""Encoders of pictures: a vector for each, near for pictures that are alike. Ours, or CLIP and DINO from the disk.

Shapes: N pictures or texts, H and W, D width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tunesmith.core.errors import UserError
from tunesmith.models.check_weights import read_json
from tunesmith.models.efficientnet import SIDE, load_efficientnet
from tunesmith.models.gguf import quiet

_AT_ONCE = 16
_CLIP = ("clip",)
_DINO = ("vit", "dinov2", "dinov2_with_registers", "dinov3_vit")


@dataclass(frozen=True, slots=True)
class Encoder:
    """Sees."""

    name: str  # as a metric is called: efficientnet, clip, dino
    _see: Callable[[Tensor], Tensor]  # (N, 3, H, W), 0 to 255 -> (N, D)
    _read: Callable[[Sequence[str]], Tensor] | None = None

    @torch.no_grad()
    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        """(N, H, W, 3), uint8 -> (N, D), of length 1."""
        x = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float()
        found = [self._see(x[start : start + _AT_ONCE]) for start in range(0, len(x), _AT_ONCE)]
        return F.normalize(torch.cat(found).float(), dim=-1).numpy()

    @property
    def reads(self) -> bool:
        """Whether texts have vectors in the same space."""
        return self._read is not None

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """-> (N, D), of length 1."""
        assert self._read is not None, "ask `reads` first"
        return F.normalize(self._read(texts).float(), dim=-1).numpy()


def efficientnet(weights: Path) -> Encoder:
    """-> the small encoder, which reads no texts. `weights`: the entry `efficientnet-lite0` of the catalogue."""
    network = load_efficientnet(weights)

    def see(x: Tensor) -> Tensor:
        return network(resized(x, (SIDE, SIDE)))

    return Encoder("efficientnet", see)


def from_folder(folder: Path) -> Encoder:
    """-> a CLIP, or a DINO, from a folder of transformers. UserError names the folder and what is wrong with it."""
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: no config.json; name a folder of CLIP or DINO as transformers saves them")
    kind = read_json(folder / "config.json").get("model_type")
    if kind not in (*_CLIP, *_DINO):
        raise UserError(f"{folder}: a model of the kind `{kind}`; pictures are compared by CLIP or DINO")
    if not any(folder.glob("*.safetensors")):
        raise UserError(f"{folder}: no safetensors weights; save the model with save_pretrained")
    try:
        return _clip(folder) if kind in _CLIP else _dino(folder)
    except (ValueError, OSError, KeyError, RuntimeError) as error:
        raise UserError(f"{folder}: transformers cannot load it: {' '.join(str(error).split())[:200]}") from error


def _clip(folder: Path) -> Encoder:
    from transformers import CLIPModel, CLIPTokenizer

    with quiet():
        network: Any = CLIPModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
        tokenizer: Any = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    side = network.config.vision_config.image_size
    longest = network.config.text_config.max_position_embeddings
    prepare = _preparing(folder, side, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))

    def see(x: Tensor) -> Tensor:
        return network.visual_projection(network.vision_model(pixel_values=prepare(x)).pooler_output)

    def read(texts: Sequence[str]) -> Tensor:
        how = {"padding": True, "truncation": True, "max_length": longest, "return_tensors": "pt"}
        return network.text_projection(network.text_model(**tokenizer(list(texts), **how)).pooler_output)

    return Encoder("clip", see, read)


def _dino(folder: Path) -> Encoder:
    """The vector of the first token, as DreamBooth's paper takes it."""
    from transformers import AutoModel

    with quiet():
        network: Any = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
    side = network.config.image_size
    prepare = _preparing(folder, side, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

    def see(x: Tensor) -> Tensor:
        return network(pixel_values=prepare(x)).last_hidden_state[:, 0]

    return Encoder("dino", see)


def _preparing(
    folder: Path, side: int, mean: Sequence[float], deviation: Sequence[float]
) -> Callable[[Tensor], Tensor]:
    """-> to the size and scale of a network: its own file says which, or the usual numbers of its kind."""
    path = folder / "preprocessor_config.json"
    told = read_json(path) if path.is_file() else {}
    middle = torch.tensor(told.get("image_mean", mean)).view(1, 3, 1, 1)
    spread = torch.tensor(told.get("image_std", deviation)).view(1, 3, 1, 1)
    return lambda x: (resized(x, (side, side)) / 255 - middle) / spread


def resized(x: Tensor, shape: tuple[int, int]) -> Tensor:
    """(N, 3, H, W) -> another H and W."""
    if x.shape[-2:] == shape:
        return x
    smaller = x.shape[-1] > shape[-1]
    return F.interpolate(x, shape, mode="bicubic", align_corners=False, antialias=smaller).clamp(0, 255)
