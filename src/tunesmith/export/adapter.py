"""Adapters as PEFT writes and reads them: a folder with `adapter_config.json` and `adapter_model.safetensors`.

What only we know (the base's fingerprint, how it was packed) lies in `tunesmith.json` beside them: PEFT does not look.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from tunesmith.core.errors import RunFailed, UserError
from tunesmith.core.files import dump
from tunesmith.core.headed import Head, Scale
from tunesmith.core.layers import QUANTIZATIONS, Quantization
from tunesmith.export import peft_config
from tunesmith.export.folder import whole_folder
from tunesmith.export.peft_config import parse_object, read_config
from tunesmith.export.tensors import BARE, fault, read_tensors

WEIGHTS = "adapter_model.safetensors"
FACTS = "tunesmith.json"
PREFIX = "base_model.model."
BESIDE = "base_model."  # of a head beside virtual tokens
OWN = "TUNESMITH_"  # how the kinds begin that PEFT has not; their files are described in docs/reference/adapters.md
_PICKLES = ("adapter_model.bin", "adapter_model.pt", "adapter_model.pth")


def write_adapter(  # noqa: PLR0913 - what the files of an adapter say
    folder: Path,
    stored: Mapping[str, Tensor],
    described: Mapping[str, Any],
    *,
    base_name: str,
    base_fingerprint: str | None,
    base_quantize: Quantization | None = None,
    made: Mapping[str, Any] | None = None,
    head: Head | None = None,
) -> Path:
    """Write what a method stored and described as an adapter. -> `folder`.

    `base_fingerprint`: None when it is not known. `made`: how, when no run made it. `head`: of what scores texts.
    An adapter of ours that lies there is replaced. RunFailed for tensors that no reader should get: none, NaN, halves
    of pairs, or updates that are all zero. The same input gives the same bytes.
    """
    tensors = {
        name: tensor.detach().to("cpu", torch.float32, copy=True).contiguous() for name, tensor in stored.items()
    }
    if wrong := fault(tensors, described):
        raise RunFailed(f"{folder}: the adapter is not written: {wrong}")
    base = {"name": base_name, "fingerprint": base_fingerprint} | ({"quantize": base_quantize} if base_quantize else {})
    facts = {"schema": 1, "base": base, "made": made} | ({"head": asdict(head)} if head else {})
    with whole_folder(folder, replaces=FACTS) as aside:
        prefix = _prefix(tensors)
        named = {name if name == BARE else prefix + name: tensor for name, tensor in tensors.items()}
        save_file(named, aside / WEIGHTS, metadata={"format": "pt"})
        (aside / peft_config.NAME).write_text(peft_config.config_text(described, base_name), encoding="utf-8")
        (aside / FACTS).write_text(dump(facts), encoding="utf-8")
        (aside / "README.md").write_text(_card(described, base_name, base_quantize, made, head), encoding="utf-8")
    return folder


def read_adapter(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """-> the keys of the configuration, and the tensors by their names below `base_model.model.`.

    Raises UserError, in one line, for whatever is missing, damaged, beyond its bound, or not the tensors of its kind.
    """
    described = read_config(folder / peft_config.NAME)
    path = folder / WEIGHTS
    if not path.is_file():
        pickles = [name for name in _PICKLES if (folder / name).exists()]
        hint = f"{pickles[0]} can run code and is not read; convert it" if pickles else "get the adapter again"
        raise UserError(f"{path}: missing; {hint}")
    tensors = _tensors(path)
    if wrong := fault(tensors, described):
        raise UserError(f"{path}: {wrong}")
    return described, tensors


def base_fingerprint(folder: Path) -> str | None:
    """-> the fingerprint of the base that the adapter was trained on; None when nobody wrote it down."""
    path = folder / FACTS
    if not path.is_file():
        return None
    base = parse_object(path).get("base")
    found = base.get("fingerprint", "") if isinstance(base, dict) else ""
    if found is not None and (not isinstance(found, str) or not found):
        raise UserError(f"{path}: `base.fingerprint` is missing; the file is damaged, get the adapter again")
    return found


def base_quantize(folder: Path) -> Quantization | None:
    """-> how the base was packed under the adapter; None when it was not, or when another tool wrote the adapter."""
    path = folder / FACTS
    base = parse_object(path).get("base") if path.is_file() else None
    found = base.get("quantize") if isinstance(base, dict) else None
    if found is not None and found not in QUANTIZATIONS:
        known = ", ".join(QUANTIZATIONS)
        raise UserError(f"{path}: `base.quantize` is {str(found)[:40]!r}; this version knows {known}")
    return found


def adapter_head(folder: Path) -> Head | None:
    """-> the head that an adapter brings, or None: it writes text. Another tool's has numbers instead of labels."""
    described = read_config(folder / peft_config.NAME)
    if described.get("task_type") != "SEQ_CLS":
        return None
    path = folder / FACTS
    found = parse_object(path).get("head") if path.is_file() else None
    if found is None:
        rows = [tensor.shape[0] for name, tensor in _tensors(folder / WEIGHTS).items() if name.endswith(_LAST)]
        if not rows:
            raise UserError(f"{folder / WEIGHTS}: no head is in the file ({' or '.join(_LAST)})")
        return Head(tuple(f"LABEL_{number}" for number in range(rows[0])))
    try:
        return Head(tuple(found["labels"]), found["problem"], found["seed"], Scale(**found["scale"]))
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: `head` is damaged ({error}); get the adapter again") from error


_LAST = ("score.weight", "classifier.weight", "classifier.out_proj.weight")


def _prefix(names: Iterable[str]) -> str:
    """PEFT puts no wrapper around a base that only gets virtual tokens: what trains beside them is named without it."""
    return BESIDE if BARE in names else PREFIX


def _tensors(path: Path) -> dict[str, Tensor]:
    found, _ = read_tensors(path)
    prefix = _prefix(found)
    for name in found:
        if name != BARE and not name.startswith(prefix):
            raise UserError(f"{path}: `{name[:100]}` does not begin with {prefix}; not an adapter of PEFT")
    return {name.removeprefix(prefix): tensor for name, tensor in found.items()}


def _card(
    described: Mapping[str, Any],
    base_name: str,
    packed: Quantization | None,
    made: Mapping[str, Any] | None,
    head: Head | None,
) -> str:
    kind = str(described["peft_type"])
    own = kind.startswith(OWN)
    over = f" It was trained over that base in {packed}." if packed else ""
    trained = (
        "How the adapter was trained, and what it changed, is in `report.html`\n"
        "and `result.json` of the run that made it."
    )
    return f"""---
base_model: {dump(base_name).strip()}
library_name: {"tunesmith" if own else "peft"}
pipeline_tag: {"text-classification" if head else "text-generation"}
tags:
- {kind.lower()}
- transformers
- tunesmith
---

# An adapter for {base_name}

Made by tunesmith with {kind}. It belongs to the base named above and to no other.{over}

```python
{_code(own, head)}
```

The fingerprint of the base is in `{FACTS}`. {"How the adapter was made is there too." if made else trained}
"""


def _code(own: bool, head: Head | None) -> str:
    if own:
        return _OWN_CODE
    return _PEFT_CODE if head is None else _PEFT_SCORES.format(count=len(head.labels), labels=list(head.labels))


_PEFT_SCORES = """from peft import AutoPeftModelForSequenceClassification

labels = {labels}
model = AutoPeftModelForSequenceClassification.from_pretrained("path/to/this/folder", num_labels={count})"""
_PEFT_CODE = """from peft import AutoPeftModelForCausalLM

model = AutoPeftModelForCausalLM.from_pretrained("path/to/this/folder")"""
_OWN_CODE = """import tunesmith  # PEFT has no such method

model = tunesmith.load("path/to/this/folder")"""
