"""A denoiser's face for training: noisy pictures and what they shall show in, its answer out.

Shapes: B pictures, C channels, H and W of a latent, S tokens, D width.
"""

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from tunesmith.core.latents import LatentBatch
from tunesmith.models.diffusion.attention import QuickLook
from tunesmith.models.diffusion.family import Family
from tunesmith.models.diffusion.prompts import told_by


class Parts(nn.Module):
    """What of an image model may learn: the tree that methods change, a branch for each part."""

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)

    def all_linear(self) -> tuple[str, ...]:
        """What `all-linear` means here: attention and feed-forward, which closes the gap to full tuning; convolutions
        and the layers that read the time add nothing (spacepxl, demystifying-sd-finetuning)."""
        return ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out",
                "net.0.proj", "net.2", "proj_mlp", "single_transformer_blocks.*.proj_out", "q_proj", "k_proj",
                "v_proj", "out_proj", "fc1", "fc2")  # fmt: skip


class Denoiser(nn.Module):
    """The face. `network` is the tree that methods change."""

    def __init__(self, network: Parts, family: Family, *, recompute: bool = False) -> None:
        super().__init__()
        self.network = network
        self.family = family
        if family.denoiser == "unet":
            self.inner.set_attn_processor(QuickLook())
        if recompute:
            self.inner.enable_gradient_checkpointing()

    @property
    def inner(self) -> Any:
        return getattr(self.network, self.family.denoiser)

    @property
    def dtype(self) -> torch.dtype:
        return next(p.dtype for p in self.inner.parameters() if p.is_floating_point())

    def forward(self, batch: LatentBatch) -> Tensor:
        """-> (B, C, H, W), float32: noise, velocity or picture, whatever the base was made to say."""
        context, pooled = batch.prompts.context, batch.prompts.pooled
        if context is None:
            encoders = {name: getattr(self.network, name) for name in self.family.encoders}
            context, pooled = told_by(encoders, self.family)(batch.prompts.ids)
        context, noisy = context.to(self.dtype), batch.noisy.to(self.dtype)
        pooled = None if pooled is None else pooled.to(self.dtype)
        return _SAID[self.family.name](self.inner, noisy, batch.times, context, pooled, batch.prompts.sizes).float()

    def train(self, mode: bool = True) -> Self:
        """Only the layers of a method train: the base runs as it was shipped for use, without dropout."""
        super().train(False)
        for module in self.network.modules():
            if hasattr(module, "active"):
                module.training = mode
        return self


def _sd(
    inner: Any, noisy: Tensor, times: Tensor, context: Tensor, pooled: Tensor | None, sizes: Tensor | None
) -> Tensor:
    return inner(noisy, times, encoder_hidden_states=context, return_dict=False)[0]


def _sdxl(
    inner: Any, noisy: Tensor, times: Tensor, context: Tensor, pooled: Tensor | None, sizes: Tensor | None
) -> Tensor:
    assert pooled is not None and sizes is not None
    more = {"text_embeds": pooled, "time_ids": sizes.to(noisy.dtype)}
    return inner(noisy, times, encoder_hidden_states=context, added_cond_kwargs=more, return_dict=False)[0]


def _sd3(
    inner: Any, noisy: Tensor, times: Tensor, context: Tensor, pooled: Tensor | None, sizes: Tensor | None
) -> Tensor:
    return inner(
        hidden_states=noisy,
        timestep=times,
        encoder_hidden_states=context,
        pooled_projections=pooled,
        return_dict=False,
    )[0]


def _flux(
    inner: Any, noisy: Tensor, times: Tensor, context: Tensor, pooled: Tensor | None, sizes: Tensor | None
) -> Tensor:
    """FLUX reads squares of four places as one token, each with its row and column."""
    count, channels, height, width = noisy.shape
    squares = noisy.reshape(count, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
    tokens = squares.reshape(count, (height // 2) * (width // 2), channels * 4)
    like: dict[str, Any] = {"dtype": noisy.dtype, "device": noisy.device}
    places = torch.zeros(height // 2, width // 2, 3, **like)
    places[..., 1] += torch.arange(height // 2, device=noisy.device)[:, None]
    places[..., 2] += torch.arange(width // 2, device=noisy.device)[None]
    guidance = torch.ones(count, **like) if inner.config.guidance_embeds else None
    said = inner(
        hidden_states=tokens,
        timestep=(times / 1000).to(noisy.dtype),
        guidance=guidance,
        encoder_hidden_states=context,
        pooled_projections=pooled,
        txt_ids=torch.zeros(context.shape[1], 3, **like),
        img_ids=places.reshape(-1, 3),
        return_dict=False,
    )[0]
    back = said.reshape(count, height // 2, width // 2, channels, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return back.reshape(count, channels, height, width)


_SAID = {"sd": _sd, "sdxl": _sdxl, "sd3": _sd3, "flux": _flux}
