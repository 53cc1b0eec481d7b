"""Image models with random weights: of the emoji base's shape, and of Stable Diffusion 1.5's."""

import sys
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

SCRIPTS = Path(__file__).parents[1] / "scripts"
NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def random_base(folder: Path) -> Path:
    """Write a model of the emoji base's shape to `folder`."""
    sys.path.append(str(SCRIPTS))
    from emoji_base.networks import LENGTH, Sizes, autoencoder, denoiser, text_tower

    torch.manual_seed(0)
    sizes, tokenizer = Sizes(), letters(LENGTH)
    noise = {**NOISE, "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    return saved(folder, autoencoder(sizes), denoiser(sizes), text_tower(sizes, tokenizer), tokenizer, noise)


def stable_diffusion(folder: Path, size: int) -> Path:
    """Write a model of the shape of Stable Diffusion 1.5 to `folder`, in half precision. `size`: its pixels."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)  # the weights are never there in float32
    try:
        vae = AutoencoderKL(
            block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4, sample_size=size,
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        )  # fmt: skip
        unet = UNet2DConditionModel(sample_size=size // 8, cross_attention_dim=768, attention_head_dim=8)
        tokenizer = letters(77)
        text = CLIPTextModel(
            CLIPTextConfig(
                hidden_size=768, intermediate_size=3072, projection_dim=768, num_hidden_layers=12,
                num_attention_heads=12, bos_token_id=512, eos_token_id=513, pad_token_id=513,
            )
        )  # fmt: skip
    finally:
        torch.set_default_dtype(before)
    return saved(folder, vae, unet, text, tokenizer, NOISE)


def letters(length: int) -> CLIPTokenizer:
    """Every byte is a token, with CLIP's mark for the end of a word."""
    every = list(bytes_to_unicode().values())
    words = [*every, *(one + "</w>" for one in every), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: place for place, word in enumerate(words)}, merges=[], model_max_length=length)


def saved(folder: Path, vae: Any, unet: Any, text: Any, tokenizer: Any, noise: dict[str, Any]) -> Path:
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    how = {"timestep_spacing": "trailing", "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
    StableDiffusionPipeline(
        vae=vae,
        unet=unet,
        text_encoder=text,
        tokenizer=tokenizer,
        scheduler=DDIMScheduler(**noise, **how),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder
