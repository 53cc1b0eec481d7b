"""What a model says when another process reads it from its files: `python -m tunesmith.fresh` and its caller.

A file that is read back by the process that wrote it proves little: what is wrong may still be right in memory.

Shapes: S tokens of a row, T of all R rows, V vocabulary; C scores.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tunesmith.attached import attach_adapter
from tunesmith.core.errors import RunFailed, UserError
from tunesmith.core.headed import mark_of
from tunesmith.core.network import inherit
from tunesmith.export.adapter import adapter_head, base_quantize
from tunesmith.models.classes import folder_head
from tunesmith.models.load import Place, load_base

Rows = Sequence[Sequence[int]]
RESULT = "result.safetensors"
LIMIT = 3600  # seconds: a process that hangs must not hang the run for ever
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@torch.no_grad()
def logits_of(network: Any, rows: Rows) -> Tensor:
    """-> (T, V), float32 on the CPU: what `network` says by its own code, one row after the other.

    Of a network that ends in scores (R, C), those of each row.
    """
    device = network.get_input_embeddings().weight.device
    parts = []
    mark = mark_of(network)
    asked = {} if mark and mark.encoder else {"use_cache": False}
    for row in rows:
        tokens = torch.tensor([list(row)], device=device)
        parts.append(network(input_ids=tokens, **asked).logits.float().cpu().flatten(0, -2))
    return torch.cat(parts)


def fresh_logits(
    model: Path, rows: Rows, *, adapter: Path | None = None, dtype: torch.dtype, device: str = "cpu"
) -> Tensor:
    """-> (T, V): `logits_of` in a new process that knows nothing but the folders `model` and `adapter`.

    The process uses as many threads as this one, so that equal files give equal bits. RunFailed with its last line
    when it fails.
    """
    asked = {
        "model": str(model.absolute()),
        "adapter": str(adapter.absolute()) if adapter else None,
        "rows": [list(row) for row in rows],
        "dtype": str(dtype).removeprefix("torch."),
        "device": device,
    }
    return in_fresh_process("tunesmith.fresh", asked, adapter or model)["logits"]


def in_fresh_process(module: str, asked: Mapping[str, Any], about: Path) -> dict[str, Tensor]:
    """-> the tensors that `python -m module` writes to `result.safetensors` in the folder `scratch` that it is given.

    It is told `asked` and how many threads this process uses. RunFailed, with its last line, when it fails at `about`.
    """
    with tempfile.TemporaryDirectory(prefix="tunesmith-fresh-") as scratch:
        done = subprocess.run(
            [sys.executable, "-m", module],
            input=json.dumps({**asked, "threads": torch.get_num_threads(), "scratch": scratch}),
            capture_output=True,
            text=True,
            timeout=LIMIT,
            env=_environment(),
            check=False,
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise RunFailed(f"{about}: a fresh process cannot read it: {last[:400]}")
        return load_file(Path(scratch) / RESULT)


def _environment() -> dict[str, str]:
    """Ours, without a network, and with this very package found first."""
    source = str(Path(__file__).parents[1])
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def _main() -> None:
    inherit()
    asked = json.load(sys.stdin)
    torch.set_num_threads(asked["threads"])
    scratch, model = Path(asked["scratch"]), Path(asked["model"])
    adapter = Path(asked["adapter"]) if asked["adapter"] else None
    packed = base_quantize(adapter) if adapter else None
    dtype = _DTYPES[asked["dtype"]]
    head = adapter_head(adapter) if adapter else folder_head(model)
    place = Place(model.name, model)
    base = load_base(place, dtype=dtype, cache=scratch, say=_silent, quantize=packed, head=head)
    network = base.network.to(asked["device"])
    if adapter:
        attach_adapter(network, adapter)
        network.eval()
    save_file({"logits": logits_of(network, asked["rows"]).contiguous()}, scratch / RESULT)


def _silent(line: str) -> None:
    """A worker has no one to talk to."""


if __name__ == "__main__":
    try:
        _main()
    except UserError as error:
        sys.exit(str(error))
