"""An image model to use: the base with what a run made of it, each to be switched off or weakened.

painter = load_painter("runs/cat")
pictures = painter.paint("a zwx cat in space", seeds=range(4))  # (4, H, W, 3), uint8
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from tunesmith.bases import resolve
from tunesmith.catalogue.fetch import default_cache
from tunesmith.core.errors import UserError
from tunesmith.methods.activity import base_only
from tunesmith.methods.inject import wrapped
from tunesmith.methods.layer import Layer
from tunesmith.models.diffusion.denoiser import Parts
from tunesmith.models.diffusion.load import PictureBase, load_pipeline
from tunesmith.models.diffusion.paint import Brush, paint, pipeline_of
from tunesmith.models.load import Place, Say
from tunesmith.models.precision import choose
from tunesmith.objectives.painting import Painting
from tunesmith.opening import CHOICES, RECIPE, read_run_recipe, the_device
from tunesmith.outcome import finished
from tunesmith.studio import words
from tunesmith.studio.files import attach_saved


@dataclass
class Painter:
    """Paints with the tuned model, the base, or anything between."""

    base: PictureBase
    about: Mapping[str, str]  # goes into the metadata of pictures: base, recipe, adapter
    network: Parts | None = None  # with an adapter in it
    tuned: PictureBase | None = None  # a whole model, where the run made one
    _pipelines: dict[str, Any] = field(default_factory=dict)

    @property
    def has_sides(self) -> bool:
        return self.network is not None or self.tuned is not None

    def paint(
        self,
        prompt: str,
        seeds: Sequence[int],
        *,
        adapter: str = "on",
        strength: float = 1.0,
        brush: Brush | None = None,
    ) -> np.ndarray:
        """-> (N, H, W, 3), uint8, one picture for each seed. `strength`: 1 is what was trained, 0 the base."""
        if strength != 1 and self.network is None:
            raise UserError("strength: only an adapter has one; a whole model is on or off")
        with self._side(adapter, strength) as pipeline:
            return paint(pipeline, [prompt] * len(seeds), seeds, brush or Brush())

    @contextmanager
    def _side(self, adapter: str, strength: float) -> Iterator[Any]:
        if adapter == "off" and self.network is not None:
            with base_only(self.network):
                yield self._pipeline("base", self.base)
            return
        whole = self.tuned if adapter == "on" and self.tuned is not None else self.base
        layers = [layer for _, layer in wrapped(self.network, Layer)] if self.network is not None else []
        before = [layer.strength for layer in layers]
        try:
            for layer in layers:
                layer.strength = strength
            yield self._pipeline("tuned" if whole is self.tuned else "base", whole)
        finally:
            for layer, own in zip(layers, before, strict=True):
                layer.strength = own

    def _pipeline(self, name: str, base: PictureBase) -> Any:
        if name not in self._pipelines:
            self._pipelines[name] = pipeline_of(base.parts, base.family, base.noise)
        return self._pipelines[name]


def load_painter(name: str, say: Say = print, *, precision: Literal["auto", "float32", "bfloat16"] = "auto") -> Painter:
    """Open a finished run on pictures in the precision of its training, or a base. UserError for anything else."""
    folder = Path(name)
    if not (folder / RECIPE).is_file():
        return Painter(_opened(resolve(name, say=say), choose(precision, the_device()).dtype), {"base": name})
    recipe, result = read_run_recipe(folder), finished(folder)
    if result is None or result.artifact is None:
        raise UserError(f"{folder}: this run has not ended well yet; give its command again to go on")
    kept = json.loads((folder / CHOICES).read_text(encoding="utf-8"))
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[kept["train.precision"]["value"]]
    place = resolve(recipe.base, allow_download=recipe.allow_download, say=say)
    base = _opened(place, dtype)
    about = {"base": recipe.base, "recipe": recipe.fingerprint, "adapter": result.artifact.sha256}
    if recipe.method.kind == "full":
        if isinstance(recipe.objective, Painting) and recipe.objective.word is not None:
            words.begin(base, recipe.objective.word)  # the base has it as what it began as
        return Painter(base, about, tuned=_opened(Place(str(folder), folder / "model"), dtype))
    network = base.changeable
    if (folder / "adapter").is_dir():
        attach_saved(network, folder / "adapter", base.generation)
    if (folder / words.FOLDER).is_dir():
        words.add_saved(base, folder / words.FOLDER)
    network.eval()
    return Painter(base, about, network)


def _opened(place: Place, dtype: torch.dtype) -> PictureBase:
    base = load_pipeline(place, dtype=dtype, cache=default_cache())
    for part in base.parts.values():
        if isinstance(part, torch.nn.Module):
            part.to(the_device())
    return base
