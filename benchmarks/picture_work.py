"""What every tool of the picture benchmark is given: base, pictures, start of the adapter, and all that is drawn."""

import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file

from tunesmith.core.order import step_indices
from tunesmith.methods import LoRA
from tunesmith.models.diffusion.load import load_pipeline
from tunesmith.models.load import Place
from tunesmith.streams.latents import generator_of, levels

COUNT = 32  # pictures
TARGETS = ("to_k", "to_q", "to_v", "to_out.0")  # what the script of diffusers adapts
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "black", "pink")
SHAPES = ("ellipse", "rectangle", "rounded_rectangle")


@dataclass(frozen=True, slots=True)
class PictureWork:
    """A benchmark's order to a tool. Each tool reads it from a file."""

    base: str
    pictures: str  # a folder of PNG files with captions beside them
    adapter: str  # PEFT's names: where training starts
    draws: str  # noise, times and the place within each latent, for every picture of every step
    rank: int
    alpha: float
    batch_size: int
    steps: int
    rate: float
    size: int
    order: list[list[str]]  # names of the pictures of each step
    targets: tuple[str, ...] = TARGETS

    @classmethod
    def read(cls, path: str) -> "PictureWork":
        return cls(**json.loads(Path(path).read_text()))

    def units_of_step(self) -> list[int]:
        return [len(names) for names in self.order]

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    def described(self) -> dict[str, Any]:
        """-> what a result says of it."""
        return {
            "base": Path(self.base).name,
            "pictures": COUNT,
            "size": self.size,
            "rank": self.rank,
            "targets": list(self.targets),
            "batch_size": self.batch_size,
            "steps": self.steps,
        }


def make_pictures(base: Path, steps: int, batch_size: int, size: int, folder: Path) -> PictureWork:
    """`size`: of the pictures in pixels, which is what the base reads."""
    drawn = draw_pictures(folder / "pictures", size)
    order = [[drawn[i] for i in step_indices(0, COUNT, batch_size, step)] for step in range(steps)]
    method = LoRA(rank=16, alpha=16.0, targets=TARGETS)
    adapter, draws = folder / "start.safetensors", folder / "draws.safetensors"
    opened = load_pipeline(Place(base.name, base), dtype=torch.float32, cache=folder)
    torch.manual_seed(0)
    method.attach(opened.denoiser)
    save_file({name: tensor.detach() for name, tensor in method.stored(opened.denoiser).items()}, adapter)
    places = size // 2 ** (len(opened.vae.config.block_out_channels) - 1)
    write_draws(folder / "pictures", order, (opened.vae.config.latent_channels, places, places), draws)
    return PictureWork(
        *(str(base), str(folder / "pictures"), str(adapter), str(draws)),
        method.rank, method.alpha, batch_size, steps, 1e-4, size, order,
    )  # fmt: skip


def draw_pictures(folder: Path, size: int) -> list[str]:
    """-> the names of pictures of one coloured shape each, in the order in which they are read."""
    folder.mkdir()
    chosen = random.Random(0)
    for place in range(COUNT):
        colour, ground = chosen.sample(COLOURS, 2)
        shape = chosen.choice(SHAPES)
        left, top = chosen.randrange(size // 2), chosen.randrange(size // 2)
        box = (left, top, left + size // 3 + place % 7, top + size // 3 + place % 5)
        picture = Image.new("RGB", (size, size), ground)
        getattr(ImageDraw.Draw(picture), shape)(box, *([4] if shape == "rounded_rectangle" else []), fill=colour)
        picture.save(folder / f"{place:02d}.png")
        (folder / f"{place:02d}.txt").write_text(f"a {colour} {shape.replace('_', ' ')} on {ground}")
    return [f"{place:02d}.png" for place in range(COUNT)]


def write_draws(pictures: Path, order: list[list[str]], shape: tuple[int, ...], path: Path) -> None:
    """All that our stream draws for these steps, so that another loop can learn from the very same noise."""
    import hashlib

    digests = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in pictures.glob("*.png")}
    found: dict[str, torch.Tensor] = {}
    for step, names in enumerate(order):
        within, noise = [], []
        for place, name in enumerate(names):
            generator = generator_of("picture", 0, step, place, digests[name])
            torch.randint(1, (), generator=generator)  # the variant
            torch.rand((), generator=generator)  # whether the caption is left out
            within.append(torch.randn(shape, generator=generator))
            noise.append(torch.randn(shape, generator=generator))
        found |= {f"within/{step}": torch.stack(within), f"noise/{step}": torch.stack(noise)}
        found[f"levels/{step}"] = levels(0, step, len(names))
    save_file(found, path)
