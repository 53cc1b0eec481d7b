"""What a model paints when another process reads it: `python -m tunesmith.studio.fresh` and its caller.

The process knows the folder of the base and the artifact. It reads the artifact by our own code, and (`diffusers`)
as anyone would, with `load_lora_weights` of a pipeline that never heard of us.

Shapes: N pictures, C channels, H and W of a latent.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tunesmith.core.errors import UserError
from tunesmith.export.embedding import KEYS, WEIGHTS, read_embedding
from tunesmith.fresh import RESULT, in_fresh_process
from tunesmith.models.diffusion.load import load_pipeline
from tunesmith.models.diffusion.paint import pipeline_of
from tunesmith.models.load import Place
from tunesmith.studio.files import Saved, attach_saved
from tunesmith.studio.words import add_saved

LORA = "pytorch_lora_weights.safetensors"
STEPS = 3  # of sampling: enough for every part to have had its say
Reader = Literal["tunesmith", "diffusers"]
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@torch.no_grad()
def latents_of(pipeline: Any, prompts: Sequence[str], size: int | None = None) -> Tensor:
    """-> (N, ...), float32: what a few steps of sampling come to, each prompt from its own seed."""
    found = []
    for seed, prompt in enumerate(prompts):
        how: dict[str, Any] = {"generator": torch.Generator().manual_seed(seed), "output_type": "latent"}
        if size is not None:
            how |= {"height": size, "width": size}
        made = pipeline(prompt=prompt, num_inference_steps=STEPS, guidance_scale=3.0, **how)
        found.append(made.images.float().cpu())
    return torch.cat(found)


def fresh_latents(  # noqa: PLR0913 - a process is told everything
    base: Path,
    saved: Saved,
    prompts: Sequence[str],
    *,
    readers: Sequence[Reader],
    dtype: torch.dtype,
    device: str,
    size: int | None,
) -> dict[str, Tensor]:
    """-> `latents_of` by reader, in a new process. RunFailed with its last line when it fails."""
    asked = {
        "base": str(base.absolute()),
        "model": _absolute(saved.model),
        "adapter": _absolute(saved.adapter),
        "word": _absolute(saved.word),
        "prompts": list(prompts),
        "readers": list(readers),
        "dtype": str(dtype).removeprefix("torch."),
        "device": device,
        "size": size,
    }
    return in_fresh_process("tunesmith.studio.fresh", asked, saved.main)


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())


def _main() -> None:
    asked = json.load(sys.stdin)
    torch.set_num_threads(asked["threads"])
    found = {reader: _read(asked, reader).contiguous() for reader in asked["readers"]}
    save_file(found, Path(asked["scratch"]) / RESULT)


def _read(asked: dict[str, Any], reader: Reader) -> Tensor:
    model, adapter, word = (None if asked[key] is None else Path(asked[key]) for key in ("model", "adapter", "word"))
    place = model or Path(asked["base"])
    opened = load_pipeline(Place(place.name, place), dtype=_DTYPES[asked["dtype"]], cache=Path(asked["scratch"]))
    if adapter is not None and reader == "tunesmith":
        attach_saved(opened.changeable, adapter, opened.generation)
    if word is not None and reader == "tunesmith":
        add_saved(opened, word)
    for part in opened.parts.values():
        if isinstance(part, torch.nn.Module):
            part.to(asked["device"]).eval()
    pipeline = pipeline_of(opened.parts, opened.family, opened.noise)
    if reader == "diffusers":
        _given_to_diffusers(pipeline, adapter, word)
    return latents_of(pipeline, asked["prompts"], asked["size"])


def _given_to_diffusers(pipeline: Any, adapter: Path | None, word: Path | None) -> None:
    """As its documentation has it; a word of one encoder is a folder, of two, tensors and their places."""
    if adapter is not None:
        how = {"weight_name": LORA, "local_files_only": True}
        pipeline.load_lora_weights(
            str(adapter), low_cpu_mem_usage=False, **how
        )  # else PEFT fails at DoRA of convolutions
    if word is None:
        return
    tensors = load_file(word / WEIGHTS)
    if len(tensors) == 1:
        pipeline.load_textual_inversion(str(word), local_files_only=True)
        return
    token = read_embedding(word).word.token
    for encoder, key in KEYS.items():
        tokenizer = getattr(pipeline, encoder.replace("text_encoder", "tokenizer"))
        pipeline.load_textual_inversion(
            tensors[key], token=token, text_encoder=getattr(pipeline, encoder), tokenizer=tokenizer
        )


if __name__ == "__main__":
    try:
        _main()
    except UserError as error:
        sys.exit(str(error))
