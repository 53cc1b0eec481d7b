"""Latents, made once: kept on the disk by the content of the picture, the autoencoder, and the way it was cut.

The caption is no part of a file: it comes from the picture itself each time, so that a latent cannot meet another's.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from safetensors.torch import save as as_bytes
from torch import Tensor

from tunesmith.core.files import make_folder, write_bytes
from tunesmith.models.diffusion.latents import encoded
from tunesmith.pictures.config import Pictures
from tunesmith.pictures.prepare import Picture
from tunesmith.pictures.view import View, view
from tunesmith.streams.latents import Latent


class Store:
    """Variants of pictures as latents."""

    def __init__(self, vae: Any, fingerprint: str, config: Pictures, seed: int, cache: Path) -> None:
        self._vae, self._fingerprint, self._config, self._seed = vae, fingerprint, config, seed
        self._cache = cache / "latents"
        self._known: dict[tuple[str, int, int], Latent] = {}

    def latent(self, picture: Picture, variant: int) -> Latent:
        """-> one variant. Made where it is not known yet."""
        key = (picture.sha256, picture.row, variant)
        if key not in self._known:
            self._known[key] = self._made(picture, variant)
        return self._known[key]

    def prepare(self, pictures: Sequence[Picture], variants: int, hear: Callable[[int], None]) -> None:
        """Make all of them before the first step."""
        for picture in pictures:
            for variant in range(variants):
                self.latent(picture, variant)
            hear(variants)

    def _made(self, picture: Picture, variant: int) -> Latent:
        seen = view(picture, variant, self._config, self._seed)
        mean, deviation = self._moments(picture, seen)
        mask = None
        if seen.mask is not None:
            mask = F.interpolate(seen.mask[None], size=mean.shape[1:], mode="area")[0]
            mask = mask / mask.mean().clamp(min=1e-4)
        sizes = (*seen.original, *seen.corner, *seen.target)
        return Latent(mean, deviation, seen.caption, mask, sizes, picture.row, picture.sha256)

    def _moments(self, picture: Picture, seen: View) -> tuple[Tensor, Tensor]:
        path = self.place(seen)
        if path.is_file():
            try:
                found = from_bytes(path.read_bytes())
                return found["mean"], found["deviation"]
            except (SafetensorError, KeyError, OSError):
                path.unlink(missing_ok=True)  # cut short by a full disk or a crash: made again
        mean, deviation = (x[0] for x in encoded(self._vae, seen.pixels[None]))
        make_folder(self._cache)
        write_bytes(path, as_bytes({"mean": mean.contiguous(), "deviation": deviation.contiguous()}))
        return mean, deviation

    def place(self, seen: View) -> Path:
        """-> the file of a latent, whether it is there or not."""
        digest = hashlib.sha256(f"{self._fingerprint} {tuple(seen.pixels.shape)}".encode())
        digest.update(seen.pixels.contiguous().numpy().tobytes())
        return self._cache / f"{digest.hexdigest()}.safetensors"
