"""Pictures of the class for DreamBooth's prior: made once by the base, kept by all that decides them."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from tunesmith.catalogue.fetch import default_cache
from tunesmith.core.files import commit_folder, make_folder
from tunesmith.models.diffusion.paint import Brush, paint, pipeline_of
from tunesmith.objectives.dreambooth import DreamBooth
from tunesmith.pictures.config import Pictures
from tunesmith.pictures.prepare import Picture, prepare
from tunesmith.show import Show
from tunesmith.studio.grid import as_png
from tunesmith.studio.opening import Opened


def class_pictures(opened: Opened, objective: DreamBooth, show: Show) -> list[Picture]:
    """-> the pictures, painted where the cache has them not."""
    brush, folder, about = kept_as(opened, objective)
    if not folder.is_dir():
        _painted(opened, objective, brush, folder, about, show)
    config = Pictures(train=str(folder), split=0.0, captions="none", buckets=False, size=brush.size)
    return prepare(
        config, size=brush.size or opened.base.size, multiple=opened.base.multiple, prompt=objective.class_prompt
    ).train


def kept_as(opened: Opened, objective: DreamBooth) -> tuple[Brush, Path, dict[str, object]]:
    """-> how they are painted, the folder that they are kept in, and all that decides them."""
    brush = Brush(size=opened.recipe.pictures.size or opened.base.size)
    about: dict[str, object] = {
        "base": opened.base.fingerprint,
        "prompt": objective.class_prompt,
        "count": objective.class_images,
        "precision": opened.probe.precision,
        **asdict(brush),
    }
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    return brush, default_cache() / "classes" / digest[:32], about


def _painted(
    opened: Opened, objective: DreamBooth, brush: Brush, folder: Path, about: dict[str, object], show: Show
) -> None:
    make_folder(folder.parent)
    pipeline = pipeline_of(opened.base.parts, opened.base.family, opened.base.noise)
    prompt = objective.class_prompt or ""
    with (
        show.watch(f"painting {prompt!r} for the prior", objective.class_images, "pictures") as seen,
        commit_folder(folder, about) as aside,
    ):
        for seed in range(objective.class_images):
            (picture,) = paint(pipeline, [prompt], [seed], brush)
            (aside / f"{seed:04d}.png").write_bytes(as_png(picture))
            seen.read(1)
