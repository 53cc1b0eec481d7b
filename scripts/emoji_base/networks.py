"""The parts of the model and their sizes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

LENGTH = 32  # tokens of a caption


@dataclass(frozen=True, slots=True)
class Sizes:
    vae: tuple[int, ...] = (16, 48, 96)
    unet: tuple[int, ...] = (64, 128, 192)
    text: int = 192
    text_layers: int = 4
    heads: int = 4
    groups: int = 8  # of a norm of the UNet
    vae_groups: int = 2  # few, or a norm takes away the colour of a ground
    words: int = 4096
    tower: tuple[int, ...] = (32, 64, 128, 192)


TINY = Sizes(
    vae=(8, 8, 8), unet=(8, 8, 16), text=16, text_layers=1, heads=2, groups=4, vae_groups=2, words=600, tower=(8, 8)
)


def autoencoder(sizes: Sizes) -> Any:
    """64 x 64 x 3 -> 16 x 16 x 4."""
    from diffusers import AutoencoderKL

    deep = len(sizes.vae)
    network = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * deep,
        up_block_types=("UpDecoderBlock2D",) * deep,
        block_out_channels=sizes.vae,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=sizes.vae_groups,
        sample_size=64,
        scaling_factor=1.0,
    )
    with torch.no_grad():
        network.quant_conv.bias[4:] -= 6  # begin with little noise on the latents
    return network


def denoiser(sizes: Sizes) -> Any:
    """The UNet on 16 x 16 latents: attention to the caption at 8 x 8 and 4 x 4."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=sizes.unet,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=sizes.text,
        attention_head_dim=sizes.heads,
        norm_num_groups=sizes.groups,
    )


def text_tower(sizes: Sizes, tokenizer: Any) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=sizes.text,
        intermediate_size=4 * sizes.text,
        projection_dim=sizes.text,
        num_hidden_layers=sizes.text_layers,
        num_attention_heads=sizes.heads,
        max_position_embeddings=LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


class ImageTower(nn.Module):
    """A small convolutional network, 64 x 64 x 3 -> a vector: the other half of the contrast, not part of the model."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width in sizes.tower:
            layers += [nn.Conv2d(before, width, 3, stride=2, padding=1), nn.GroupNorm(sizes.groups, width)]
            layers += [nn.SiLU(), nn.Conv2d(width, width, 3, padding=1), nn.GroupNorm(sizes.groups, width)]
            layers += [nn.SiLU()]
            before = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(before, sizes.text)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.head(self.body(pictures).mean(dim=(2, 3)))


def as_pictures(raw: Any) -> Tensor:
    """(N, 64, 64, 3) bytes -> (N, 3, 64, 64) in [-1, 1]."""
    return torch.from_numpy(raw).permute(0, 3, 1, 2).float() / 127.5 - 1


def read(module: nn.Module, path: Path) -> nn.Module:
    from safetensors.torch import load_file

    module.load_state_dict(load_file(path))
    return module
