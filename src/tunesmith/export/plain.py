"""A whole model as a plain folder of transformers: any tool reads it, and nothing in it is ours."""

from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tunesmith.core.errors import RunFailed
from tunesmith.export.folder import whole_folder

MARK = "config.json"


def write_model(
    folder: Path,
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    dtype: torch.dtype,
    replace: bool = False,
) -> Path:
    """Write `network` in `dtype`, with configuration, generation settings, tokenizer and chat template. -> `folder`.

    The weights of `network` itself are rounded to `dtype`. A weight that two modules share is written once; modules
    that were untied are written both, and the configuration says so. `replace`: write over a model that lies there.
    RunFailed when a weight is not finite; UserError when the folder is taken or cannot be written.
    """
    assert not any(hasattr(module, "active") for module in network.modules()), "merge the method first"
    for name, parameter in network.named_parameters():  # not `network.to`: some buffers must stay float32
        parameter.data = parameter.data.to(dtype)
        if not parameter.isfinite().all():
            raise RunFailed(f"{folder}: the model is not written, `{name}` is not finite in {dtype}")
    with whole_folder(folder, replaces=MARK if replace else None) as aside:
        with redirect_stderr(StringIO()):  # a progress bar of one step
            network.save_pretrained(aside)
        tokenizer.save_pretrained(aside)
    return folder
