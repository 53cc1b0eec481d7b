"""Stage `export`: one plain diffusers folder in float16, with a card that says what went into it."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from tunesmith.core.errors import UserError

from . import words
from .card import card
from .noise import scheduler, trained_painter
from .pictures import finished
from .store import Store

NAME = "emoji-diffusion"
LIMIT = 64 << 20  # bytes


def export(store: Store) -> None:
    """Write the folder `emoji-diffusion`, replacing the one before it."""
    target = store.folder / NAME
    store.latents()  # refuses a UNet whose latents are not those of the decoder
    with tempfile.TemporaryDirectory(dir=store.folder) as scratch:
        aside = Path(scratch) / NAME
        pipeline(store).to(dtype=torch.float16).save_pretrained(aside, safe_serialization=True)
        words.plain_files(store.tokenizer(), aside / "tokenizer")
        (aside / "README.md").write_text(card(store), encoding="utf-8")
        size = sum(file.stat().st_size for file in aside.rglob("*") if file.is_file())
        if size > LIMIT:
            raise UserError(f"{target}: would be {size / 2**20:.1f} MiB; the package has room for {LIMIT >> 20} MiB")
        shutil.rmtree(target, ignore_errors=True)
        aside.rename(target)
    print(f"{target}: {size / 2**20:.1f} MiB")


def pipeline(store: Store) -> Any:
    """The trained parts in float32."""
    from diffusers import StableDiffusionPipeline

    painter = trained_painter(store)
    tokenizer = store.tokenizer()
    _lift_rare_words(painter.text, tokenizer)
    return StableDiffusionPipeline(
        vae=finished(store),
        text_encoder=painter.text,
        tokenizer=tokenizer,
        unet=painter.unet,
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _lift_rare_words(text: Any, tokenizer: Any) -> None:
    """Words that no caption holds kept the small vectors they were born with: give them the usual length."""
    table = text.get_input_embeddings().weight
    rare = torch.tensor([tokenizer.convert_tokens_to_ids(f"{word}</w>") for word in words.RARE])
    usual = table.norm(dim=1).median()
    with torch.no_grad():
        table[rare] *= usual / table[rare].norm(dim=1, keepdim=True)


def opened(folder: Path) -> Any:
    """The exported folder as anyone opens it."""
    from diffusers import StableDiffusionPipeline

    loaded = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    loaded.set_progress_bar_config(disable=True)
    return loaded
