"""Stage `sheet`: the 64 prompts as one picture, eight to a row, from the exported folder."""

import numpy as np
import torch
from PIL import Image

from .export import NAME, opened
from .prompts import texts
from .store import Store

STEPS, GUIDANCE, ROW = 25, 4.0, 8


def paint(store: Store, prompts: list[str], seed: int) -> np.ndarray:
    """-> (N, 64, 64, 3) bytes: prompt i from noise (seed, i), so that it does not depend on the others."""
    pipe = opened(store.folder / NAME)
    shape = (pipe.unet.config.in_channels, pipe.unet.config.sample_size, pipe.unet.config.sample_size)
    made = []
    for begin in range(0, len(prompts), 16):
        part = prompts[begin : begin + 16]
        noise = [torch.Generator().manual_seed(1000 * seed + begin + i) for i in range(len(part))]
        latents = torch.stack([torch.randn(shape, generator=one) for one in noise])
        with torch.autocast("cpu", torch.bfloat16):
            drawn = pipe(part, latents=latents, num_inference_steps=STEPS, guidance_scale=GUIDANCE, output_type="np")
        made.append((drawn.images * 255).round().astype(np.uint8))
    return np.concatenate(made)


def make_sheet(store: Store) -> None:
    every, _ = store.drawings()
    pictures = paint(store, texts(every), seed=0)
    rows = [np.concatenate(list(pictures[i : i + ROW]), axis=1) for i in range(0, len(pictures), ROW)]
    sheet = Image.fromarray(np.concatenate(rows))
    sheet.resize((2 * sheet.width, 2 * sheet.height), Image.Resampling.NEAREST).save(store.folder / "sheet.png")
    print(store.folder / "sheet.png")
