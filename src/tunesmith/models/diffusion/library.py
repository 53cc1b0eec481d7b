"""diffusers, loaded late and without its talk."""

import logging
import warnings
from typing import Any


def diffusers() -> Any:
    """-> the module. What it and its parts say while they are loaded is nothing that a user could act on."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import diffusers as library

    library.utils.logging.set_verbosity_error()
    library.utils.logging.disable_progress_bar()
    return library
