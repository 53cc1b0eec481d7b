"""Rows of a data set on the hub, only when the recipe allows the download."""

import re
from pathlib import Path

from tunesmith.core.errors import UserError
from tunesmith.data.rows import SUFFIXES, Row


def looks_like_hub(name: str) -> bool:
    """True for `owner/name` and `owner/name:split`, unless it ends like a file."""
    if Path(name).suffix.lower() in SUFFIXES:
        return False
    return re.fullmatch(r"[\w.-]+/[\w.-]+(:[\w.-]+)?", name) is not None


def read_hub(name: str, split: str, *, allow_download: bool) -> list[Row]:
    """-> the rows of one split of a hub data set. `name` may end in `:split`, which then counts."""
    if not allow_download:
        raise UserError(
            f"{name}: no such file, and downloads are not allowed; give a file, or allow the download of a hub data set"
        )
    try:
        from datasets import load_dataset
    except ImportError:
        raise UserError(f"{name}: hub data sets need the package `datasets`; install tunesmith[hub]") from None
    identity, _, own = name.partition(":")
    try:
        rows = load_dataset(identity, split=own or split)
    except Exception as error:  # the library raises many kinds: network, missing set, missing split
        raise UserError(f"{name}: cannot be loaded from the hub ({str(error).splitlines()[0][:200]})") from None
    return [Row(f"{identity}:{own or split}", number, dict(values)) for number, values in enumerate(rows, start=1)]
