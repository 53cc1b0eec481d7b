"""What a run leaves to use: an adapter in PEFT's format, or a plain model folder."""

from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save as as_bytes
from torch import nn

from tunesmith.core.files import sha256, write_bytes
from tunesmith.export.adapter import WEIGHTS, write_adapter
from tunesmith.export.plain import write_model
from tunesmith.models.valued import ValuedLM
from tunesmith.opening import Opened
from tunesmith.report.document import Artifact


@dataclass(frozen=True, slots=True)
class Saved:
    """The folder of an artifact, and what is in it."""

    folder: Path
    described: Artifact


def save(folder: Path, opened: Opened, model: nn.Module | None = None) -> Saved:
    """Write the artifact of a finished training below the run `folder`; one that is there already is replaced.

    `model`: what trained; a value head of it is no part of the adapter, and is written beside.
    """
    if isinstance(model, ValuedLM):
        write_bytes(folder / "value_head.safetensors", as_bytes(model.value_head.state_dict()))
    recipe, base = opened.recipe, opened.base
    if recipe.method.kind == "full":
        place = write_model(folder / "model", base.network, base.tokenizer, dtype=opened.probe.dtype, replace=True)
    else:
        place = write_adapter(
            folder / "adapter",
            opened.method.stored(base.network),
            opened.method.described(base.network),
            base_name=base.name,
            base_fingerprint=base.fingerprint,
            base_quantize=recipe.base_quantize,
            head=opened.head,
        )
    described = _describe(place, folder, base.folder)
    mergeable = opened.method.cannot_merge(base.network) is None
    return Saved(place, described.model_copy(update={"mergeable": mergeable}))


def _describe(place: Path, run: Path, base: Path) -> Artifact:
    files = sorted(place.glob("*.safetensors"))
    main = place / WEIGHTS if (place / WEIGHTS).is_file() else files[0]
    return Artifact(
        path=str(main.relative_to(run)),
        bytes=sum(f.stat().st_size for f in files),
        sha256=sha256(main),
        base_bytes=sum(f.stat().st_size for f in base.glob("*.safetensors")),
    )
