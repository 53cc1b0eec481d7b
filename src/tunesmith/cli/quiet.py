"""The environment of a command: no network that was not asked for, no noise of libraries."""

import os
import sys
import warnings
from io import TextIOWrapper

from tunesmith.core.network import allow, shut

_SILENCE = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
_OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")


def hush(debug: bool) -> None:
    """Call it before anything heavy is imported: the libraries read these when they are loaded."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a sign that the terminal cannot show is a question mark, not an error
            stream.reconfigure(errors="replace")
    os.environ.update(_SILENCE | dict.fromkeys(_OFFLINE, "1"))
    shut()
    if not debug:
        warnings.simplefilter("ignore")


def allow_hub() -> None:
    """Let the model hub be asked: the recipe, or the command itself, said so."""
    allow()
    for name in _OFFLINE:
        os.environ.pop(name, None)
    assert "huggingface_hub.constants" not in sys.modules or "pytest" in sys.modules, "read already"
