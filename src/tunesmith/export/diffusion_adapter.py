"""Adapters of image models: one folder that every tool reads, and a reader for what they write.

pytorch_lora_weights.safetensors    diffusers and PEFT, ranks and strengths in the header        LoRA and DoRA only
NAME.kohya.safetensors              A1111, ComfyUI, kohya's scripts, diffusers                   LoRA, DoRA, LoHa, LoKr
adapter.json                        ours: what the method described, and which base it belongs to

Methods that neither format has a name for lie in `adapter_weights.safetensors`.
"""

import json
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from safetensors.torch import save
from torch import Tensor, nn

from tunesmith.core.errors import RunFailed, UserError
from tunesmith.core.files import dump
from tunesmith.export.diffusion_card import card
from tunesmith.export.diffusion_read import METADATA, by_part, read_dotted
from tunesmith.export.folder import whole_folder
from tunesmith.export.kohya import DOWN, UP, Described, Parts, kohya_tensors, unwritable
from tunesmith.export.kohya_header import BASES, kohya_header
from tunesmith.export.kohya_read import is_kohya, read_kohya
from tunesmith.export.peft_config import checked, parse_object
from tunesmith.export.picture_names import legacy
from tunesmith.export.tensors import MAGNITUDE, fault, read_tensors

Family = Literal["sd1", "sd2", "sdxl", "sd3", "flux"]
FACTS = "adapter.json"
PLAIN = "pytorch_lora_weights.safetensors"
OWN = "adapter_weights.safetensors"
KOHYA = ".kohya.safetensors"
SCHEMA = 1
_ORIGINAL = re.compile(r"(lora_unet_|diffusion_model\.)(double_blocks|single_|joint_blocks|transformer_blocks)")
_ATTENTION = re.compile(r"\.(q|k|v|out)_proj\.lora_")
_SCRIPT = {DOWN: ".lora_linear_layer.down.weight", UP: ".lora_linear_layer.up.weight"}
_FACTOR = re.compile("|".join(re.escape(end) + "$" for end in _SCRIPT))


def write_adapter_pictures(  # noqa: PLR0913 - what the files of an adapter say
    folder: Path,
    parts: Parts,
    described: Described,
    *,
    base_name: str,
    base_fingerprint: str | None,
    family: Family,
    about: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write what a method stored and described of each part of a model. -> the files that hold tensors.

    `about`: more of kohya's header (`ss_tag_frequency`, `ss_num_train_images`, ...); `ss_output_name` names its file.
    An adapter of ours that lies there is replaced. RunFailed for tensors that no reader should get. The same input
    gives the same bytes.
    """
    held = {part: _copied(tensors) for part, tensors in parts.items() if tensors}
    if wrong := _fault(held, described):
        raise RunFailed(f"{folder}: the adapter is not written: {wrong}")
    name = re.sub(r"[^\w.-]", "_", (about or {}).get("ss_output_name", folder.resolve().name))
    reason = unwritable(held, described)
    plain = all(described[part]["peft_type"] == "LORA" for part in held)
    facts = {
        "schema": SCHEMA,
        "family": family,
        "base": {"name": base_name, "fingerprint": base_fingerprint},
        "weights": PLAIN if plain else OWN,
        "bare": [part for part, own in held.items() if plain and any(legacy(part, name) != name for name in own)],
        "parts": {part: dict(described[part]) for part in held},
    }
    with whole_folder(folder, replaces=FACTS) as aside:
        named = {
            f"{part}.{n}": t for part, own in held.items() for n, t in (_plain(part, own) if plain else own).items()
        }
        header = {"format": "pt"} | ({METADATA: _metadata(held, described)} if plain else {})
        _save(aside / str(facts["weights"]), named, header)
        files = [folder / str(facts["weights"])]
        if reason is None:
            header = kohya_header(held, described, family=family, base_name=base_name, name=name) | dict(about or {})
            _save(aside / (name + KOHYA), kohya_tensors(held, described, family=family), header)
            files.append(folder / (name + KOHYA))
        (aside / FACTS).write_text(dump(facts), encoding="utf-8")
        (aside / "README.md").write_text(card(base_name, files, reason), encoding="utf-8")
    return files


def read_adapter_pictures(
    path: Path, *, family: Family | None = None
) -> tuple[dict[str, dict[str, Tensor]], dict[str, dict[str, Any]]]:
    """-> by part of the model, the tensors by PEFT's names and PEFT's configuration, from a folder or a file.

    Read are our folders, the files of diffusers in all its ways, of kohya's scripts and of LyCORIS. Raises UserError,
    in one line, for what is missing, damaged, unknown, or made for another family than `family`.
    """
    file = _file(path)
    tensors, metadata = read_tensors(file)
    facts = file.parent / FACTS
    if path.is_dir() and facts.is_file():
        parts, described = _ours(facts, tensors, family)
    else:
        _refuse_family(file, metadata.get("ss_base_model_version", ""), tensors, family)
        if is_kohya(tensors):
            parts, described = read_kohya(file, tensors)
        else:
            parts, described = read_dotted(file, tensors, metadata)
    if wrong := _fault(parts, described):
        raise UserError(f"{file}: {wrong}")
    return parts, described


def named_for(
    network: nn.Module, tensors: Mapping[str, Tensor], described: Mapping[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """-> the same adapter by the names that `network` has: CLIP's modules lie in `text_model`, or do not."""
    wrapped = hasattr(network, "text_model")

    def turned(name: str) -> str:
        bare = name.removeprefix("text_model.")
        return legacy("text_encoder", bare) if wrapped else bare

    found = dict(described)
    for key in ("rank_pattern", "alpha_pattern"):
        if isinstance(found.get(key), dict):
            found[key] = {turned(name): value for name, value in found[key].items()}
    if isinstance(found.get("target_modules"), list):
        found["target_modules"] = [turned(name) for name in found["target_modules"]]
    return {turned(name): tensor for name, tensor in tensors.items()}, found


def base_of_pictures(folder: Path) -> tuple[Family, str, str | None] | None:
    """-> the family, name and fingerprint of the base of an adapter of ours; None for another tool's."""
    if not (folder / FACTS).is_file():
        return None
    facts = _facts(folder / FACTS)
    return facts["family"], str(facts["base"]["name"]), facts["base"]["fingerprint"]


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: t.detach().to("cpu", torch.float32, copy=True).contiguous() for name, t in tensors.items()}


def _fault(parts: Parts, described: Described) -> str | None:
    """-> what is wrong with the tensors, or None. A part may be untrained (a text encoder's rate of zero), not all."""
    faults = {part: fault(tensors, described[part]) for part, tensors in parts.items()}
    wrong = {part: found for part, found in faults.items() if found}
    serious = next((part for part, found in wrong.items() if "changes nothing" not in found), None)
    if serious is None and len(wrong) == len(parts):
        serious = next(iter(wrong), None)
    return f"{serious}: {wrong[serious]}" if serious else None if parts else "there are no tensors"


def _plain(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """-> the tensors by the names with which diffusers finds every one of them.

    In a text encoder it overlooks PEFT's own name of a magnitude, and refuses PEFT's names where no attention is among
    the layers; the names of its scripts it reads.
    """
    if not part.startswith("text_encoder"):
        return dict(tensors)
    found = {legacy(part, name) + (".weight" if name.endswith(MAGNITUDE) else ""): t for name, t in tensors.items()}
    if any(_ATTENTION.search(name) for name in found):
        return found
    return {_FACTOR.sub(lambda end: _SCRIPT[end[0]], name): tensor for name, tensor in found.items()}


def _metadata(parts: Parts, described: Described) -> str:
    """PEFT's configuration of each part, as diffusers packs it. Names fit with `text_model` around them and without."""
    packed = {f"{part}.{key}": value for part in parts for key, value in {**described[part], "task_type": None}.items()}
    return json.dumps(packed, sort_keys=True, indent=2)


def _save(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """As safetensors writes it, but with the metadata in order: the library's own order differs from run to run."""
    raw = save({name: tensor.contiguous() for name, tensor in tensors.items()})
    (size,) = struct.unpack("<Q", raw[:8])
    header = {"__metadata__": dict(sorted(metadata.items())), **json.loads(raw[8 : 8 + size])}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.write(memoryview(raw)[8 + size :])


def _file(path: Path) -> Path:
    """-> the file that holds the tensors."""
    if path.is_file():
        if path.suffix != ".safetensors":
            raise UserError(f"{path}: only .safetensors files are read, others can run code; convert it")
        return path
    if not path.is_dir():
        raise UserError(f"{path}: missing; name a folder or a .safetensors file with an adapter")
    if (path / FACTS).is_file():
        return path / str(_facts(path / FACTS)["weights"])
    if (path / PLAIN).is_file():
        return path / PLAIN
    found = sorted(path.glob("*.safetensors"))
    if len(found) != 1:
        what = "no .safetensors file is there" if not found else f"{len(found)} .safetensors files are there"
        raise UserError(f"{path}: {what}; name the file with the adapter")
    return found[0]


def _facts(path: Path) -> dict[str, Any]:
    facts = parse_object(path)
    base, parts = facts.get("base"), facts.get("parts")
    whole = isinstance(base, dict) and {"name", "fingerprint"} <= set(base) and isinstance(parts, dict) and parts
    known = facts.get("family") in get_args(Family) and facts.get("weights") in (PLAIN, OWN)
    known = known and isinstance(facts.get("bare"), list)
    if facts.get("schema") != SCHEMA or not whole or not known:
        raise UserError(f"{path}: not what this version writes (schema {SCHEMA}); get the adapter again")
    return facts


def _ours(
    path: Path, tensors: Mapping[str, Tensor], family: Family | None
) -> tuple[dict[str, dict[str, Tensor]], dict[str, dict[str, Any]]]:
    facts = _facts(path)
    if family is not None and facts["family"] != family:
        raise UserError(f"{path.parent}: made for {facts['family']}, the base is {family}; it fits no other family")
    parts: dict[str, dict[str, Tensor]] = {part: {} for part in facts["parts"]}
    if facts["weights"] == PLAIN:
        placed, _ = by_part(path.parent / PLAIN, tensors)
        tensors = {f"{part}.{name}": tensor for part, own in placed.items() for name, tensor in own.items()}
    for name, tensor in tensors.items():
        part, _, own = name.partition(".")
        if part not in parts:
            raise UserError(
                f"{path.parent}: `{name[:100]}` belongs to no part that {FACTS} names; get the adapter again"
            )
        parts[part][own.removeprefix("text_model.") if part in facts["bare"] else own] = tensor
    return parts, {part: checked(dict(own), path) for part, own in facts["parts"].items()}


def _refuse_family(path: Path, said: str, names: Mapping[str, object], family: Family | None) -> None:
    if family is None:
        return
    made = next((known for known, begin in BASES.items() if said.startswith(begin)), None)
    original = any(_ORIGINAL.match(name) for name in names)
    transformer = original or any(name.startswith(("transformer.", "lora_transformer_")) for name in names)
    unet = not original and any(name.startswith(("unet.", "lora_unet_")) for name in names)
    if made is not None and made != family:
        raise UserError(f"{path}: made for {made}, the base is {family}; it fits no other family")
    if (transformer and family in ("sd1", "sd2", "sdxl")) or (unet and family in ("sd3", "flux")):
        kind = "transformer" if transformer else "UNet"
        raise UserError(f"{path}: an adapter of a {kind}, the base is {family}; it fits no other family")
