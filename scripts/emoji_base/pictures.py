"""Stages `vae` and `decoder`: 64 x 64 pixels into 16 x 16 x 4 numbers and back.

loss = |x - y| + 2 (x - y)^2 + |grad x - grad y| at three scales + 1e-6 KL (Rombach et al. 2022, without perceptual and
adversarial parts, for which no weights are at hand). `decoder` goes on with the encoder frozen, so that latents stay
what they are.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .composites import compose
from .networks import as_pictures, autoencoder
from .store import Store
from .training import Losses, Plan, Stage, best, generator

_KL = 1e-6


def vae_stage(store: Store, plan: Plan) -> tuple[Stage, Callable[[int], Losses]]:
    torch.manual_seed(plan.seed)
    network = autoencoder(store.sizes)
    stage = Stage("vae", network, plan, store.folder)
    every, drawings = store.drawings()

    def loss(step: int) -> Losses:
        pictures = draw_batch(every, drawings, plan, step)
        with torch.autocast("cpu", torch.bfloat16):
            spread = network.encode(pictures).latent_dist
            made = network.decode(spread.sample(generator(plan.seed, step))).sample
        return _losses(pictures, made.float(), spread.kl().mean())

    return stage, loss


def decoder_stage(store: Store, plan: Plan) -> tuple[Stage, Callable[[int], Losses]]:
    network = folded(store)
    network.requires_grad_(False)
    network.decoder.requires_grad_(True)
    stage = Stage("decoder", network, plan, store.folder)
    every, drawings = store.drawings()

    def loss(step: int) -> Losses:
        pictures = draw_batch(every, drawings, plan, step)
        with torch.autocast("cpu", torch.bfloat16):
            latents = network.encode(pictures).latent_dist.mode()
            noise = 0.05 * torch.randn(latents.shape, generator=generator(plan.seed, step))  # a UNet's are not exact
            made = network.decode(latents + noise).sample
        return _losses(pictures, made.float(), torch.zeros(()))

    return stage, loss


def draw_batch(every: list[Any], drawings: np.ndarray, plan: Plan, step: int) -> Tensor:
    rng = np.random.default_rng([plan.seed, 2, step])
    chosen = rng.integers(len(every), size=plan.batch)
    return as_pictures(np.stack([compose(int(i), every, rng).draw(drawings) for i in chosen]))


def _losses(pictures: Tensor, made: Tensor, kl: Tensor) -> Losses:
    plain = (pictures - made).abs().mean()
    edges = torch.zeros(())
    x, y = pictures, made
    for scale in range(3):
        if scale:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        edges = edges + sum((x.diff(dim=d) - y.diff(dim=d)).abs().mean() for d in (2, 3)) / 3
    error = F.mse_loss(pictures, made)
    loss = plain + 2 * error + edges + _KL * kl
    return {"loss": loss, "l1": plain, "kl": kl, "psnr": 10 * torch.log10(4 / error)}


def encode(network: Any, pictures: Tensor) -> Tensor:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        return network.encode(pictures).latent_dist.mode().float()


def folded(store: Store) -> Any:
    """The trained autoencoder with latents of mean 0 and deviation 1 in each channel, by its two 1 x 1 convolutions.

    Pipelines of Stable Diffusion know one scale for all channels and no shift; with this both are 1 and 0.
    """
    network = best(store.folder / "vae", autoencoder(store.sizes))
    every, drawings = store.drawings()
    plan = Plan(steps=1, batch=64, rate=0, seed=store.seed)
    latents = torch.cat([encode(network, draw_batch(every, drawings, plan, 10**9 + i)) for i in range(8)])
    mean, deviation = latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3))
    with torch.no_grad():
        _shift(network.quant_conv, mean, deviation)
        after = network.post_quant_conv
        after.bias += after.weight[:, :, 0, 0] @ mean
        after.weight *= deviation[None, :, None, None]
    return network


def _shift(before: Any, mean: Tensor, deviation: Tensor) -> None:
    """quant_conv gives means and log-variances: means are moved and scaled, log-variances moved by -2 log deviation."""
    channels = len(mean)
    before.weight[:channels] /= deviation[:, None, None, None]
    before.bias[:channels] = (before.bias[:channels] - mean) / deviation
    before.bias[channels:] -= 2 * deviation.log()


def finished(store: Store) -> Any:
    """The folded autoencoder with the decoder that was trained longest."""
    network = folded(store)
    if (store.folder / "decoder").exists():
        best(store.folder / "decoder", network)
    return network
