"""Pictures by a base or a tuned model, through the pipelines of diffusers: prompts and seeds in, pixels out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tunesmith.core.errors import RunFailed
from tunesmith.models.diffusion.family import Family
from tunesmith.models.diffusion.library import diffusers
from tunesmith.models.gguf import quiet


@dataclass(frozen=True, slots=True)
class Brush:
    """How pictures are made."""

    steps: int = 25
    guidance: float = 4.0  # how much more than without a prompt (https://arxiv.org/abs/2207.12598)
    size: int | None = None  # pixels; None: the base's own
    negative: str = ""


def pipeline_of(parts: Mapping[str, Any], family: Family, noise: Mapping[str, Any]) -> Any:
    """-> a pipeline of diffusers over these very modules."""
    library = diffusers()
    scheduler: Any
    if family.flow:
        scheduler = library.FlowMatchEulerDiscreteScheduler.from_config(dict(noise))
    else:
        more = {"timestep_spacing": "trailing", "clip_sample": False, "set_alpha_to_one": False}
        scheduler = library.DDIMScheduler.from_config({**noise, **more})
    own = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    own = own if family.name == "sd" else {}
    with quiet():
        made = getattr(library, family.pipeline)(**parts, scheduler=scheduler, **own)
    made.set_progress_bar_config(disable=True)
    return made


@torch.no_grad()
def paint(pipeline: Any, prompts: Sequence[str], seeds: Sequence[int], brush: Brush) -> np.ndarray:
    """-> (N, H, W, 3), uint8: one picture for each prompt and seed; a picture depends on nothing but its own two.

    Raises RunFailed when pixels are not numbers.
    """
    pictures = []
    for prompt, seed in zip(prompts, seeds, strict=True):
        how: dict[str, Any] = {"generator": torch.Generator().manual_seed(seed), "output_type": "latent"}
        if brush.size is not None:
            how |= {"height": brush.size, "width": brush.size}
        if not type(pipeline).__name__.startswith("Flux"):
            how["negative_prompt"] = brush.negative
        with quiet():
            latents = pipeline(
                prompt=prompt, num_inference_steps=brush.steps, guidance_scale=brush.guidance, **how
            ).images
            made = _decoded(pipeline, latents, brush)
        if not np.isfinite(made).all():
            raise RunFailed(f"the picture of {prompt[:60]!r} is not a number; use train.precision=float32")
        pictures.append((made * 255).round().astype(np.uint8))
    return np.stack(pictures)


def _decoded(pipeline: Any, latents: Tensor, brush: Brush) -> np.ndarray:
    """-> (H, W, 3) in [0, 1]. The autoencoder keeps its own precision, whatever the denoiser's is."""
    vae = pipeline.vae
    if latents.ndim == 3:  # FLUX hands out squares of four places as one token
        edge = brush.size or pipeline.default_sample_size * pipeline.vae_scale_factor
        latents = pipeline._unpack_latents(latents, edge, edge, pipeline.vae_scale_factor)
    shift = getattr(vae.config, "shift_factor", None) or 0.0
    made = vae.decode(latents.to(vae.dtype) / vae.config.scaling_factor + shift, return_dict=False)[0]
    return (made[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 0).float().cpu().numpy()
