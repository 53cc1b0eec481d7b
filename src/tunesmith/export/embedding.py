"""What a new word means, as a file that diffusers, A1111 and ComfyUI read, and a reader for it.

SD 1, SD 2    {"<zwx>": (N, D)}
SDXL          {"clip_l": (N, D), "clip_g": (N, E)}      of the first and the second encoder
embedding.json is ours: what the word began as, and which base it belongs to
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from tunesmith.core.errors import RunFailed, UserError
from tunesmith.core.files import dump
from tunesmith.core.word import Word
from tunesmith.export.folder import whole_folder
from tunesmith.export.peft_config import parse_object
from tunesmith.export.tensors import read_tensors

WEIGHTS, FACTS = "learned_embeds.safetensors", "embedding.json"
SCHEMA = 1
KEYS: Mapping[str, str] = {"text_encoder": "clip_l", "text_encoder_2": "clip_g"}
"""Of the files of families with two encoders."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """A word and its rows, by the name of the encoder."""

    word: Word
    rows: Mapping[str, Tensor]  # (N, D) each
    family: str


def write_embedding(folder: Path, made: Embedding, *, base_name: str, base_fingerprint: str) -> Path:
    """Write the files; those of ours that lie there are replaced. -> `folder`. RunFailed for rows of no use."""
    rows = {encoder: tensor.detach().to("cpu", torch.float32).contiguous() for encoder, tensor in made.rows.items()}
    if broken := next((encoder for encoder, tensor in rows.items() if not tensor.isfinite().all()), None):
        raise RunFailed(f"{folder}: the word is not written: its rows for {broken} are not numbers")
    single = next(iter(rows.values())) if len(rows) == 1 else None
    named = {made.word.token: single} if single is not None else {KEYS[name]: tensor for name, tensor in rows.items()}
    facts = {
        "schema": SCHEMA,
        "token": made.word.token,
        "init": made.word.init,
        "vectors": made.word.vectors,
        "family": made.family,
        "base": {"name": base_name, "fingerprint": base_fingerprint},
    }
    with whole_folder(folder, replaces=FACTS) as aside:
        save_file(named, aside / WEIGHTS)
        (aside / FACTS).write_text(dump(facts), encoding="utf-8")
        (aside / "README.md").write_text(_card(made, base_name), encoding="utf-8")
    return folder


def read_embedding(folder: Path, *, family: str | None = None) -> Embedding:
    """-> the word. Raises UserError for what is missing, damaged, or made for another family than `family`."""
    facts = _facts(folder / FACTS)
    if family is not None and facts["family"] != family:
        raise UserError(f"{folder}: made for {facts['family']}, the base is {family}; it fits no other family")
    tensors, _ = read_tensors(folder / WEIGHTS)
    word = Word(facts["token"], facts["init"], facts["vectors"])
    rows = {"text_encoder": tensors[word.token]} if set(tensors) == {word.token} else {}
    if set(tensors) == set(KEYS.values()):
        rows = {name: tensors[key] for name, key in KEYS.items()}
    if not rows or any(tensor.ndim != 2 or len(tensor) != word.vectors for tensor in rows.values()):
        shown = ", ".join(tensors)[:100] or "nothing"
        raise UserError(
            f"{folder / WEIGHTS}: holds {shown}, not the {word.vectors} rows of `{word.token}`; get it again"
        )
    return Embedding(word, rows, facts["family"])


def _facts(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(f"{path}: missing; name a folder with a word that was learned")
    facts = parse_object(path)
    texts = all(isinstance(facts.get(key), str) and facts[key] for key in ("token", "init", "family"))
    if facts.get("schema") != SCHEMA or not texts or not isinstance(facts.get("vectors"), int):
        raise UserError(f"{path}: not what this version writes (schema {SCHEMA}); get the word again")
    return facts


def _card(made: Embedding, base_name: str) -> str:
    token, place = made.word.token, f"FOLDER/{WEIGHTS}"
    two = "".join(
        f'\nwords = safetensors.torch.load_file("{place}")\n'
        f'pipeline.load_textual_inversion(words["{key}"], token="{token}", '
        f"text_encoder=pipeline.{name}, tokenizer=pipeline.{name.replace('text_encoder', 'tokenizer')})"
        for name, key in KEYS.items()
    )
    loading = f'pipeline.load_textual_inversion("FOLDER")  # then say "{token}"' if len(made.rows) == 1 else two.strip()
    return f"""---
base_model: {dump(base_name).strip()}
library_name: diffusers
pipeline_tag: text-to-image
tags:
- textual_inversion
- tunesmith
---

# `{token}`: a word for {base_name}

Made by tunesmith. It belongs to the base named above and to no other. It began as "{made.word.init}".

diffusers:

```python
{loading}
```

A1111 and ComfyUI: put `{WEIGHTS}` into their folder of embeddings under the name that you want to say, for there the
name of the file is the word.
"""
