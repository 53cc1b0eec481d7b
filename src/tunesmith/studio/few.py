"""Latents and prompts of a rehearsal: a few are made and timed, and stand for all of their kind; nothing is learned."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from torch import Tensor

from tunesmith.pictures.prepare import Picture
from tunesmith.pictures.view import view
from tunesmith.streams.latents import Latent
from tunesmith.studio.opening import Opened
from tunesmith.studio.store import Store
from tunesmith.studio.told import Teller

MADE = 2  # of a kind
LOOKED_AT = 6  # pictures that are opened to see whether their latents are kept from an earlier run


class FewLatents(Store):
    """The first pictures of each shape go through the autoencoder; their latents lie below `scratch`."""

    def __init__(self, opened: Opened, scratch: Path, cache: Path) -> None:
        base, self._recipe = opened.base, opened.recipe
        super().__init__(base.vae, base.fingerprint, self._recipe.pictures, self._recipe.train.seed, scratch)
        self._kept = Store(base.vae, base.fingerprint, self._recipe.pictures, self._recipe.train.seed, cache)
        self._of_kind: dict[tuple[Any, ...], list[Latent]] = {}
        self._seconds: list[float] = []

    def latent(self, picture: Picture, variant: int) -> Latent:
        made = self._of_kind.setdefault((picture.bucket, picture.mask is None), [])
        if len(made) < MADE:
            begin = perf_counter()
            made.append(self._made(picture, variant))
            self._seconds.append(perf_counter() - begin)
        return replace(made[-1], caption=picture.caption, row=picture.row, key=picture.sha256)

    def reading(self, pictures: Sequence[Picture], total: int) -> float:
        """-> seconds until `total` latents of `pictures` are there: made, or kept from an earlier run."""
        looked = [pictures[i * len(pictures) // LOOKED_AT] for i in range(LOOKED_AT)] if pictures else []
        seconds = []
        for picture in dict.fromkeys(looked):
            begin = perf_counter()
            kept = self._kept.place(view(picture, 0, self._recipe.pictures, self._recipe.train.seed)).is_file()
            opening = perf_counter() - begin
            self.latent(picture, 0)
            seconds.append(opening if kept else median(self._seconds))
        return total * sum(seconds) / max(1, len(seconds))


class FewTold(Teller):
    """The first texts go through the encoders."""

    def __init__(self, opened: Opened) -> None:
        super().__init__(opened)
        self._seconds: list[float] = []

    def _one(self, text: str) -> tuple[dict[str, Tensor], Tensor | None, Tensor | None]:
        if text in self._known:
            return self._known[text]
        if len(self._seconds) >= MADE:
            return next(iter(self._known.values()))
        begin = perf_counter()
        found = super()._one(text)
        self._seconds.append(perf_counter() - begin)
        return found

    def reading(self, texts: Sequence[str]) -> float:
        """-> seconds for all of `texts`."""
        for text in texts[:MADE]:
            self._one(text)
        return len(texts) * min(self._seconds, default=0.0)
