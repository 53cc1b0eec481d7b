"""Pictures at fixed prompts and seeds: before training, on the way, and after, side by side."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tunesmith.core.files import make_folder, write_bytes, write_json
from tunesmith.evaluate.config import Evaluate
from tunesmith.models.diffusion.denoiser import Denoiser
from tunesmith.models.diffusion.paint import Brush, paint, pipeline_of
from tunesmith.studio.grid import as_png, grid
from tunesmith.studio.opening import Opened

FOLDER = "samples"


def due(config: Evaluate, step: int, steps: int) -> bool:
    """Whether a grid is painted on the way, after `step` of `steps`."""
    every = config.pictures_every
    return config.enabled and config.pictures > 0 and bool(every) and step < steps and step % (every or 1) == 0


def prompts_of(opened: Opened) -> list[str]:
    """-> what is asked: the recipe's prompts, or the objective's own, or the first captions."""
    if opened.recipe.evaluate.prompts:
        return list(opened.recipe.evaluate.prompts)
    if opened.objective.shown:
        return list(opened.objective.shown)
    return list(dict.fromkeys(picture.caption for picture in opened.prepared.train))[:4]


def brush_of(opened: Opened) -> Brush:
    return Brush(steps=opened.recipe.evaluate.picture_steps, size=opened.recipe.pictures.size)


def painted(opened: Opened, model: Denoiser, prompts: Sequence[str], count: int) -> np.ndarray:
    """-> (P * count, H, W, 3): `count` pictures of each prompt, seeds 0, 1, ..."""
    parts = {**opened.base.parts, **dict(model.network.named_children())}
    pipeline = pipeline_of(parts, opened.base.family, opened.base.noise)
    asked = [(prompt, seed) for prompt in prompts for seed in range(count)]
    return paint(pipeline, [p for p, _ in asked], [s for _, s in asked], brush_of(opened))


def keep(opened: Opened, model: Denoiser, folder: Path, name: str) -> Path:
    """Paint, and write one row for each prompt to `samples/NAME.png`."""
    prompts, count = prompts_of(opened), opened.recipe.evaluate.pictures
    pictures = painted(opened, model, prompts, count)
    path = folder / FOLDER / f"{name}.png"
    make_folder(path.parent)
    write_json(path.parent / "prompts.json", prompts)
    write_bytes(
        path, as_png(grid(pictures, columns=count), {"prompts": " | ".join(prompts), "seeds": f"0-{count - 1}"})
    )
    return path
