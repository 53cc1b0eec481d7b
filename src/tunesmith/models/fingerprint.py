"""What a base is, as one sha256, remembered so that the second start does not read gigabytes again."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from tunesmith.core.errors import RunFailed, UserError
from tunesmith.core.files import make_folder, sha256, write_json
from tunesmith.models.check_weights import weight_files


def fingerprint(folder: Path, cache: Path) -> str:
    """sha256 over names and contents of the weights and the configuration in `folder`."""
    whole = hashlib.sha256()
    for path in (folder / "config.json", *weight_files(folder)):
        whole.update(f"{path.name} {file_sha256(path, cache)}\n".encode())
    return whole.hexdigest()


def file_sha256(path: Path, cache: Path) -> str:
    """sha256 of a file; taken from `cache` when path, size and time of change are those of the last reading."""
    stat = path.stat()
    key = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"
    known = _remembered(cache)
    if key not in known:
        known = {**{k: v for k, v in _remembered(cache).items() if _still_there(k)}, key: sha256(path)}
        _remember(cache, known)
    return known[key]


def _still_there(key: str) -> bool:
    return Path(key.split("|", 1)[0]).exists()


def _remembered(cache: Path) -> dict[str, str]:
    try:
        known = json.loads((cache / "fingerprints.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _remember(cache: Path, known: dict[str, str]) -> None:
    """Where the cache cannot be written nothing is lost but time."""
    with suppress(UserError, RunFailed):
        make_folder(cache)
        write_json(cache / "fingerprints.json", known)
