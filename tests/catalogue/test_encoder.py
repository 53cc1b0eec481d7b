"""The weights of the encoder: a pickle of tensors becomes safetensors, and one that would run code is refused."""

import io
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tunesmith.catalogue.encoder import MEMBER, efficientnet, own_name
from tunesmith.models.efficientnet import EfficientNetLite0

THEIRS = {
    "stem.0": "_conv_stem", "stem.1": "_bn0", "head.0": "_conv_head", "head.1": "_bn1",
    "expand.0": "_expand_conv", "expand.1": "_bn0", "depthwise.0": "_depthwise_conv", "depthwise.1": "_bn1",
    "project.0": "_project_conv", "project.1": "_bn2",
}  # fmt: skip


def published(name: str) -> str:
    """A name of ours as the package has it."""
    parts = name.split(".")
    if parts[0] == "blocks":
        return f"_blocks.{parts[1]}.{THEIRS['.'.join(parts[2:4])]}.{parts[4]}"
    return f"{THEIRS['.'.join(parts[:2])]}.{parts[2]}"


def wheel(value: bytes) -> zipfile.ZipFile:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(MEMBER, value)
    return zipfile.ZipFile(made)


def test_the_published_names_are_those_of_the_network(tmp_path: Path) -> None:
    own = EfficientNetLite0().state_dict()
    saved = io.BytesIO()
    torch.save({published(name): value for name, value in own.items()} | {"_fc.weight": torch.zeros(1)}, saved)
    efficientnet(wheel(saved.getvalue()), tmp_path)
    found = load_file(tmp_path / "efficientnet-lite0.safetensors")
    assert set(found) == {name for name in own if not name.endswith("num_batches_tracked")}
    assert all(torch.equal(found[name], own[name]) for name in found)
    assert own_name("_fc.bias") is None


class Evil:
    def __reduce__(self):
        return (print, ("run",))


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    with pytest.raises(pickle.UnpicklingError):
        efficientnet(wheel(pickle.dumps({"weight": Evil()})), tmp_path)
    assert not list(tmp_path.iterdir())
