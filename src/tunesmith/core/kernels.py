"""bitsandbytes: kernels for numbers of four and eight bits (https://github.com/bitsandbytes-foundation/bitsandbytes)."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any
from unittest.mock import patch

import torch


@cache
def bitsandbytes() -> Any:
    """-> the library, loaded when it is first needed and kept from two things that it does when it is imported.

    On some processors it asks a model hub for another kernel: no code comes from a network here. And it hands its
    fallbacks, of which we use none, to torch's compiler: loading that takes 1.9 s and 115 MB.
    """
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it warns that the hub was not asked
    with _absent("kernels"), patch.object(torch, "compile", lambda function, **_: function):
        return import_module("bitsandbytes")


@contextmanager
def _absent(name: str) -> Iterator[None]:
    """Inside, to import the module `name` fails."""
    before = {name: sys.modules[name]} if name in sys.modules else {}
    modules: dict[str, Any] = sys.modules  # None is what Python itself takes for "do not look"
    modules[name] = None
    try:
        yield
    finally:
        del sys.modules[name]
        sys.modules.update(before)
