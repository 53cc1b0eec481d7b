"""The loop of diffusers' `train_text_to_image_lora.py` on the picture benchmark's work, in a process of its own.

Written anew from what that script does in a step, with its libraries (accelerate, PEFT, its schedulers): it opens the
pictures of the batch, encodes them by the autoencoder and their captions by the text encoder in every step, and
adapts the attention of the U-Net. What it draws at random is read from the work instead, so that both loops learn from
the same noise. Prints one line of JSON.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from diffusers.optimization import get_scheduler
from peft import LoraConfig, set_peft_model_state_dict
from picture_work import PictureWork
from PIL import Image
from process import Laps, peak_memory
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from transformers import CLIPTextModel, CLIPTokenizer


class Pictures(Dataset):
    """Opened, cut and put into tensors when the loader asks, as the script's `preprocess_train` does."""

    def __init__(self, work: PictureWork, tokenizer: Any) -> None:
        folder = Path(work.pictures)
        self.paths = [folder / name for names in work.order for name in names]
        self.size, self.tokenizer = work.size, tokenizer

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, place: int) -> dict[str, Tensor]:
        path = self.paths[place]
        picture = Image.open(path).convert("RGB").resize((self.size, self.size), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
        caption = path.with_suffix(".txt").read_text()
        how = {"max_length": self.tokenizer.model_max_length, "padding": "max_length", "truncation": True}
        ids = self.tokenizer([caption], return_tensors="pt", **how).input_ids[0]
        return {"pixel_values": (pixels - 0.5) / 0.5, "input_ids": ids}


def collate(examples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    pixels = torch.stack([example["pixel_values"] for example in examples])
    pixels = pixels.to(memory_format=torch.contiguous_format).float()
    return {"pixel_values": pixels, "input_ids": torch.stack([example["input_ids"] for example in examples])}


def run(work: PictureWork, mixed: str) -> dict[str, object]:
    accelerator = Accelerator(cpu=True, mixed_precision=mixed)
    base = Path(work.base)
    frozen = Frozen(
        DDPMScheduler.from_pretrained(base, subfolder="scheduler"),
        CLIPTextModel.from_pretrained(base, subfolder="text_encoder"),
        AutoencoderKL.from_pretrained(base, subfolder="vae"),
        torch.bfloat16 if mixed == "bf16" else torch.float32,
    )
    unet = UNet2DConditionModel.from_pretrained(base, subfolder="unet")
    for part in (unet, frozen.vae, frozen.text_encoder):
        part.requires_grad_(False)
        part.to(accelerator.device, dtype=frozen.dtype)
    unet.add_adapter(LoraConfig(r=work.rank, lora_alpha=work.alpha, target_modules=list(work.targets)))
    unknown = set_peft_model_state_dict(unet, load_file(work.adapter)).unexpected_keys
    assert not unknown, unknown
    optimizer = torch.optim.AdamW(
        [p for p in unet.parameters() if p.requires_grad], lr=work.rate, betas=(0.9, 0.999), weight_decay=0.0
    )
    tokenizer = CLIPTokenizer.from_pretrained(base, subfolder="tokenizer")
    loader = DataLoader(Pictures(work, tokenizer), shuffle=False, collate_fn=collate, batch_size=work.batch_size)
    rates = get_scheduler("constant", optimizer=optimizer)
    return train(work, accelerator, frozen, accelerator.prepare(unet, optimizer, loader, rates))


@dataclass(frozen=True, slots=True)
class Frozen:
    """What does not learn."""

    schedule: Any
    text_encoder: Any
    vae: Any
    dtype: torch.dtype


def train(work: PictureWork, accelerator: Any, frozen: Frozen, prepared: tuple[Any, ...]) -> dict[str, object]:
    unet, optimizer, loader, rates = prepared
    adapter = [p for p in unet.parameters() if p.requires_grad]
    draws, losses = load_file(work.draws), []
    unet.train()
    laps = Laps()
    for step, batch in enumerate(loader):
        with accelerator.accumulate(unet):
            loss = loss_of(unet, frozen, batch, [draws[f"{name}/{step}"] for name in ("within", "noise", "levels")])
            losses.append(accelerator.gather(loss.repeat(work.batch_size)).mean().item())
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(adapter, 1.0)
            optimizer.step()
            rates.step()
            optimizer.zero_grad()
        laps.mark()
    dtypes = sorted({str(p.dtype) for p in adapter})
    return {"losses": losses, **laps.between(), "peak_bytes": peak_memory(), "dtypes": dtypes}


def loss_of(unet: Any, frozen: Frozen, batch: dict[str, Tensor], drawn: list[Tensor]) -> Tensor:
    """The middle of the script's step, with numbers that were drawn before."""
    within, noise, levels = drawn
    schedule, config = frozen.schedule, frozen.schedule.config
    found = frozen.vae.encode(batch["pixel_values"].to(dtype=frozen.dtype)).latent_dist
    latents = (found.mean + found.std * within.to(frozen.dtype)) * frozen.vae.config.scaling_factor
    noise = noise.to(frozen.dtype)
    times = (levels * config.num_train_timesteps).long().clamp(max=config.num_train_timesteps - 1)
    noisy = schedule.add_noise(latents, noise, times)
    told = frozen.text_encoder(batch["input_ids"], return_dict=False)[0]
    target = noise if config.prediction_type == "epsilon" else schedule.get_velocity(latents, noise, times)
    said = unet(noisy, times, told, return_dict=False)[0]
    return F.mse_loss(said.float(), target.float(), reduction="mean")


if __name__ == "__main__":
    print(json.dumps(run(PictureWork.read(sys.argv[1]), sys.argv[2])))
