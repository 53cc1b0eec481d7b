"""What a run on pictures leaves to use, and reads back: an adapter for each part or a whole model, and a new word."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from tunesmith.core.errors import UserError
from tunesmith.export.diffusion_adapter import Family, named_for, read_adapter_pictures, write_adapter_pictures
from tunesmith.export.diffusion_plain import write_pipeline
from tunesmith.methods import PEFT_TYPES
from tunesmith.methods.method import MethodConfig
from tunesmith.methods.stored import load_stored
from tunesmith.models.diffusion.denoiser import Parts
from tunesmith.studio.opening import Opened
from tunesmith.studio.words import grown, save_word


@dataclass(frozen=True, slots=True)
class Saved:
    """The folders of what was made; of a whole model, the word is in its tables."""

    model: Path | None = None
    adapter: Path | None = None
    word: Path | None = None

    @property
    def main(self) -> Path:
        """The folder that stands for the run."""
        found = self.model or self.adapter or self.word
        assert found is not None, "a run makes something"
        return found


def save(folder: Path, opened: Opened, network: Parts) -> Saved:
    """Write what was made below the run `folder`; what is there already is replaced."""
    base, word = opened.base, opened.objective.word
    if opened.recipe.method.kind == "full":
        parts = {name: getattr(network, name) for name in opened.adapted}
        if word is not None:
            parts |= grown(base, {name: copy.deepcopy(base.parts[name]) for name in base.family.encoders})
        return Saved(model=write_pipeline(folder / "model", base.folder, parts, replace=True))
    place = save_word(folder, base, word) if word is not None else None
    return Saved(adapter=None if opened.recipe.method.bare else _save_adapter(folder, opened, network), word=place)


def _save_adapter(folder: Path, opened: Opened, network: Parts) -> Path:
    method, base = opened.recipe.method, opened.base
    found = {name: method.stored(getattr(network, name)) for name in opened.adapted}
    parts = {name: stored for name, stored in found.items() if stored}
    described = {name: method.described(getattr(network, name)) for name in parts}
    write_adapter_pictures(
        folder / "adapter",
        parts,
        described,
        base_name=base.name,
        base_fingerprint=base.fingerprint,
        family=base.generation,
    )
    return folder / "adapter"


def attach_saved(network: Parts, folder: Path, family: Family | None = None) -> dict[str, MethodConfig]:
    """Attach the adapter in `folder` to the parts that it was made for. -> the method of each.

    Raises UserError for an adapter that does not fit this base.
    """
    tensors, described = read_adapter_pictures(folder, family=family)
    return {name: _attached(network, name, tensors[name], described[name], folder) for name in tensors}


def _attached(
    network: Parts, name: str, tensors: Mapping[str, Tensor], described: Mapping[str, Any], folder: Path
) -> MethodConfig:
    part = getattr(network, name, None)
    if not isinstance(part, nn.Module):
        raise UserError(
            f"{folder}: made for a part `{name}`, and this base has {', '.join(dict(network.named_children()))}"
        )
    tensors, described = named_for(part, tensors, described)
    method = PEFT_TYPES[described["peft_type"]].from_peft(described, part)
    method.attach(part)
    try:
        load_stored(method, part, tensors)
    except UserError:
        method.detach(part)
        raise
    return method
