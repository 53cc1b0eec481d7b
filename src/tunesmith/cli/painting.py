"""`tunesmith generate` where the model makes pictures: PNG files, and one grid of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunesmith.studio.painter import Painter

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
ROWS = 4  # pictures of the grid: one line for each of the first seeds


def is_picture_model(model: str) -> bool:
    """Whether `model` is a base that makes pictures, or a run that learned some."""
    from tunesmith.catalogue.entries import paints

    folder = Path(model)
    if not (folder / "recipe.yaml").is_file():
        return paints(model)

    from tunesmith.opening import read_run_recipe

    return read_run_recipe(folder).objective.eats == "pictures"


def write_pictures(
    model: str, prompt: str, *, count: int, seed: int, output: Path | None, adapter: str, steps: int, guidance: float
) -> None:
    """Write `count` pictures of the seeds `seed`, `seed` + 1, ..., and `grid.png`."""
    from tunesmith.cli.ending import to_stderr
    from tunesmith.core.errors import UserError
    from tunesmith.core.files import make_folder
    from tunesmith.models.diffusion.paint import Brush
    from tunesmith.studio.painter import load_painter

    folder = output or Path("pictures")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: is not empty; name another folder with --output")
    painter, brush = load_painter(model, say=to_stderr), Brush(steps, guidance)
    if adapter != "on" and not painter.has_sides:
        raise UserError(f"--adapter {adapter}: {model} is a base, nothing is attached to it; name a run")
    make_folder(folder)
    sides = ("off", "on") if adapter == "both" else (adapter,)
    for side in sides:
        for one in range(seed, seed + count):
            name = f"{one}.png" if len(sides) == 1 else f"{one}-{'base' if side == 'off' else 'tuned'}.png"
            (picture,) = painter.paint(prompt, [one], adapter=side, brush=brush)
            _write(folder / name, picture, painter, prompt=prompt, seed=str(one), side=side)
            print(folder / name, flush=True)
    seeds = list(range(seed, seed + min(count, ROWS)))
    _grid(folder / "grid.png", painter, prompt, seeds, brush)


def _grid(path: Path, painter: "Painter", prompt: str, seeds: list[int], brush: Any) -> None:
    """A line for each seed: the base, then the adapter at growing strength; or base and tuned model."""
    import numpy as np

    from tunesmith.studio.grid import grid

    if painter.network is not None:
        columns = [painter.paint(prompt, seeds, strength=strength, brush=brush) for strength in STRENGTHS]
        told = "strengths " + ", ".join(f"{strength:g}" for strength in STRENGTHS)
    elif painter.tuned is not None:
        columns = [painter.paint(prompt, seeds, adapter=side, brush=brush) for side in ("off", "on")]
        told = "base, tuned"
    else:
        columns, told = [painter.paint(prompt, seeds, brush=brush)], "base"
    lines = np.stack(columns, 1).reshape(-1, *columns[0].shape[1:])
    whole = grid(lines, columns=len(columns))
    _write(path, whole, painter, prompt=prompt, seed=", ".join(map(str, seeds)), columns=told)
    print(f"{path}: a line for each of {len(seeds)} seeds; {told}")


def _write(path: Path, picture: Any, painter: "Painter", **about: str) -> None:
    from tunesmith.core.files import write_bytes
    from tunesmith.studio.grid import as_png

    write_bytes(path, as_png(picture, {**painter.about, **about}))
