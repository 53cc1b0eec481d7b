"""The README of an adapter of an image model: which file is for whom."""

from collections.abc import Iterable
from pathlib import Path

from tunesmith.core.files import dump

_READERS = {
    "pytorch_lora_weights.safetensors": "diffusers and PEFT: `pipeline.load_lora_weights(FOLDER)`",
    "adapter_weights.safetensors": "tunesmith: no other tool has a format for this method",
}
_KOHYA = "A1111, ComfyUI, kohya's scripts: put it into their folder of LoRAs"


def card(base_name: str, files: Iterable[Path], reason: str | None) -> str:
    """-> the text. `reason`: why there is no kohya file."""
    rows = "\n".join(f"| `{file.name}` | {_READERS.get(file.name, _KOHYA)} |" for file in files)
    absent = f"\nThere is no file in kohya's format: {reason}.\n" if reason else ""
    return f"""---
base_model: {dump(base_name).strip()}
library_name: diffusers
pipeline_tag: text-to-image
tags:
- diffusers
- lora
- tunesmith
---

# An adapter for {base_name}

Made by tunesmith. It belongs to the base named above and to no other.

| file | for |
|---|---|
{rows}
| `adapter.json` | tunesmith: what the method was, and the fingerprint of the base |
{absent}"""
