"""Stage `unet`: predict the velocity v = sqrt(a) noise - sqrt(1 - a) latent (Salimans and Ho 2022).

The schedule ends in pure noise (Lin et al. 2024), or backgrounds of one colour could not be made. Every step weighs the
same in v: min-SNR weights are 0 at that end. One caption in ten is empty, for guidance. The text tower learns along,
more slowly.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .captions import caption, vary
from .contrast import trained_pair
from .networks import denoiser
from .store import Store
from .training import Losses, Plan, Stage, best, generator
from .words import tokens

EMPTY = 0.1
TEXT_RATE = 0.2


def scheduler() -> Any:
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,
    )


class Painter(nn.Module):
    """What the stage trains: the text tower and the UNet."""

    def __init__(self, store: Store, text: nn.Module) -> None:
        super().__init__()
        self.text = text
        self.unet = denoiser(store.sizes)


def unet_stage(store: Store, plan: Plan) -> tuple[Stage, Callable[[int], Losses]]:
    torch.manual_seed(plan.seed)
    tokenizer = store.tokenizer()
    network = Painter(store, trained_pair(store).text.requires_grad_(True))
    stage = Stage("unet", network, plan, store.folder, slow={"text.": TEXT_RATE})
    kept, slots = store.latents()
    alphas = scheduler().alphas_cumprod

    def loss(step: int) -> Losses:
        rng = np.random.default_rng([plan.seed, 5, step])
        chosen = rng.integers(len(kept), size=plan.batch)
        texts = ["" if rng.random() < EMPTY else caption(vary(slots[i], rng)) for i in chosen]
        latents = torch.from_numpy(kept[chosen]).float()
        random = generator(plan.seed, step)
        noise = torch.randn(latents.shape, generator=random)
        # One timestep from each part of the schedule: less variance at no cost (Kingma et al. 2021).
        parts = (torch.arange(plan.batch) + torch.rand((), generator=random)) / plan.batch
        times = (parts * len(alphas)).long().clamp(max=len(alphas) - 1)
        a = alphas[times][:, None, None, None]
        noised, velocity = a.sqrt() * latents + (1 - a).sqrt() * noise, a.sqrt() * noise - (1 - a).sqrt() * latents
        with torch.autocast("cpu", torch.bfloat16):
            context = network.text(tokens(tokenizer, texts)).last_hidden_state
            made = network.unet(noised, times, context).sample
        return _by_time((made.float() - velocity).square().mean(dim=(1, 2, 3)), times, len(alphas))

    return stage, loss


def _by_time(errors: Tensor, times: Tensor, count: int) -> Losses:
    late = times >= count // 2
    return {"loss": errors.mean(), "early": errors[~late].mean(), "late": errors[late].mean()}


def trained_painter(store: Store) -> Any:
    return best(store.folder / "unet", Painter(store, trained_pair(store).text))
