"""What a run on pictures leaves to use, and reads back: an adapter for each part, or a whole model."""

from collections.abc import Mapping
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


def save(folder: Path, opened: Opened, network: Parts) -> Path:
    """Write the artifact below the run `folder`; one that is there already is replaced. -> its folder."""
    method, base = opened.recipe.method, opened.base
    if method.kind == "full":
        return write_pipeline(folder / "model", base.folder, dict(network.named_children()), replace=True)
    parts = {name: method.stored(part) for name, part in network.named_children() if method.stored(part)}
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
