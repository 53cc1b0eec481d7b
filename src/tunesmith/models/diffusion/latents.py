"""Pictures in the space of the autoencoder.

Shapes: B pictures, C channels, H and W pixels, h and w places of the latent.
"""

from typing import Any

import torch
from torch import Tensor

from tunesmith.core.errors import UserError


@torch.no_grad()
def encoded(vae: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 3, H, W) in [-1, 1] -> mean and deviation, (B, C, h, w) each, float32, as the denoiser wants them scaled.

    UserError when the autoencoder answers with not-a-number.
    """
    found = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist
    mean, deviation = (x.float().cpu() for x in (found.mean, found.std))
    if not (mean.isfinite().all() and deviation.isfinite().all()):
        raise UserError("the autoencoder of the base answers with not-a-number; its weights are damaged, get it again")
    factor = float(vae.config.scaling_factor)
    shift = float(getattr(vae.config, "shift_factor", None) or 0.0)
    return (mean - shift) * factor, deviation * factor
