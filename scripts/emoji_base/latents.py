"""Stage `latents`: composites of every drawing through the frozen encoder, kept beside what each of them shows."""

import numpy as np
import torch

from .composites import compose
from .networks import as_pictures
from .pictures import encode, folded
from .store import Store

EACH, NEAR_DOUBLE = 12, 4  # composites of a drawing
_BATCH = 128


def make_latents(store: Store) -> None:
    every, drawings = store.drawings()
    rng = np.random.default_rng([store.seed, 4])
    counts = [NEAR_DOUBLE if one.is_near_double else EACH for one in every]
    composites = [compose(i, every, rng) for i, count in enumerate(counts) for _ in range(count)]
    network = folded(store)
    parts: list[torch.Tensor] = []
    for begin in range(0, len(composites), _BATCH):
        batch = np.stack([one.draw(drawings) for one in composites[begin : begin + _BATCH]])
        parts.append(encode(network, as_pictures(batch)).half())
    latents = torch.cat(parts)
    flat = latents.float().transpose(0, 1).flatten(1)
    print(f"latents: {len(latents)}, mean {flat.mean(1).tolist()}, deviation {flat.std(1).tolist()}")
    store.keep_latents(latents.numpy(), composites)
