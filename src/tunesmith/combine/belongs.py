"""Whether the base that an adapter belongs to is here, and is the one it was trained on."""

from typing import Literal

from tunesmith.bases import resolve
from tunesmith.catalogue.fetch import default_cache
from tunesmith.combine.read import Parts
from tunesmith.core.errors import UserError
from tunesmith.models.fingerprint import file_sha256, fingerprint

Match = Literal["same", "different", "unknown", "not here"]


def base_match(parts: Parts, base: str | None = None) -> Match:
    """The base by its name in the file, or `base`. `unknown`: the adapter does not say what it was trained on."""
    try:
        place = resolve(base or parts.base or "", allow_download=False, say=lambda line: None)
    except UserError:
        if base is not None:
            raise
        return "not here"
    if parts.fingerprint is None:
        return "unknown"
    whole = file_sha256 if place.path.is_file() else fingerprint
    return "same" if whole(place.path, default_cache()) == parts.fingerprint else "different"
