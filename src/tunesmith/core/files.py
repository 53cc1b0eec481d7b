"""Files that are whole or absent: written aside, forced to the disk, then renamed. Private unless said otherwise."""

import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from tunesmith.core.errors import RunFailed, UserError

MANIFEST = "MANIFEST.json"
SCHEMA = 1
PRIVATE, PRIVATE_FOLDER = 0o600, 0o700
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG}


class Damaged(ValueError):  # noqa: N818 - a state, not an act
    """A folder is not what its manifest says. The message names the file."""


def sha256(path: Path) -> str:
    """-> the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the operating system refuses while `path` is written into one line for the user."""
    try:
        yield
    except OSError as error:
        raise _explained(error, path) from error
    except Exception as error:
        # safetensors reports the failures of the system in its own class, with the number in the text.
        number = re.search(r"os error (\d+)", str(error))
        if number is None or isinstance(error, UserError | RunFailed):
            raise
        code = int(number[1])
        raise _explained(OSError(code, os.strerror(code)), path) from error


def _explained(error: OSError, path: Path) -> UserError | RunFailed:
    reason = (error.strerror or str(error)).lower()
    if error.errno in _FULL:
        return UserError(
            f"{path}: cannot be written, {reason} ({_free(path)} bytes are free); "
            "make room and give the same command again"
        )
    if error.errno in _CLOSED:
        return UserError(f"{path}: cannot be written, {reason}; choose a folder that you may write to")
    return RunFailed(f"{path}: cannot be written, {reason}; check the disk and give the same command again")


def _free(path: Path) -> int:
    return shutil.disk_usage(existing_parent(path)).free


def existing_parent(path: Path) -> Path:
    """-> the nearest folder above `path` that exists: the disk that `path` will be on."""
    return next(parent for parent in path.absolute().parents if parent.is_dir())


def make_folder(path: Path) -> None:
    """Make `path` and its parents, those that are new for their owner only. UserError when that is not allowed."""
    with writing(path):
        missing = [one for one in (path, *path.parents) if not one.exists()]
        for one in reversed(missing):
            one.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        path.mkdir(exist_ok=True)  # says what is wrong when something else lies there


def private(name: str, flags: int) -> int:
    """An `opener` for files that only their owner may read."""
    return os.open(name, flags, PRIVATE)


@contextmanager
def replacing(path: Path, *, mode: int = PRIVATE) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` at the end of the block: a reader sees the old one or the new one, even
    after a power cut."""
    aside = path.with_name(_aside(path.name))
    with writing(path):
        try:
            with open(aside, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(aside, path)
            sync_folder(path.parent)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise


def write_bytes(path: Path, data: bytes, *, mode: int = PRIVATE) -> None:
    """Replace the file at `path` by `data`, wholly or not at all."""
    with replacing(path, mode=mode) as file:
        file.write(data)


def write_text(path: Path, text: str, *, mode: int = PRIVATE) -> None:
    """As `write_bytes`, in UTF-8."""
    write_bytes(path, text.encode(), mode=mode)


def write_json(path: Path, value: object, *, mode: int = PRIVATE) -> None:
    """As `write_text`: indented, in the order of the keys given; not-a-number is refused, for it is not JSON."""
    write_text(path, dump(value), mode=mode)


def dump(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def sync_folder(path: Path) -> None:
    """Force the names in a folder to the disk: without it a rename may be lost in a power cut."""
    number = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@contextmanager
def commit_folder(target: Path, about: Mapping[str, Any]) -> Iterator[Path]:
    """Yield a folder to write into, which becomes `target` at once, with a manifest, when the block ends well.

    The manifest holds `about`, and the size and SHA-256 of each file. `target` must not exist.
    A block that fails leaves nothing behind; a process that dies leaves a folder that `remove_unfinished` finds.
    """
    assert not target.exists(), f"{target} exists: a committed folder is never changed"
    aside = target.with_name(_aside(target.name))
    with writing(target):
        try:
            aside.mkdir(mode=PRIVATE_FOLDER)
            yield aside
            names = sorted(path.name for path in aside.iterdir())
            write_text(aside / MANIFEST, _manifest(aside, names, about))
            for name in names:
                seal(aside / name)
            sync_folder(aside)
            os.rename(aside, target)
            sync_folder(target.parent)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise


def seal(path: Path) -> None:
    """Make what another library wrote private, and force it to the disk."""
    path.chmod(PRIVATE)
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _manifest(folder: Path, names: list[str], about: Mapping[str, Any]) -> str:
    files = {name: {"bytes": (folder / name).stat().st_size, "sha256": sha256(folder / name)} for name in names}
    return dump(_with_own_hash({"schema": SCHEMA, **about, "files": files}))


def _with_own_hash(body: Mapping[str, Any]) -> dict[str, Any]:
    return {**body, "sha256": hashlib.sha256(dump(body).encode()).hexdigest()}


def verify_folder(folder: Path) -> dict[str, Any]:
    """-> the manifest of a folder whose every byte is as it was committed. Raises Damaged otherwise."""
    manifest = read_manifest(folder)
    for name, known in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            raise Damaged(f"{path}: missing")
        if path.stat().st_size != known["bytes"]:
            raise Damaged(f"{path}: {path.stat().st_size} bytes instead of {known['bytes']}")
        if sha256(path) != known["sha256"]:
            raise Damaged(f"{path}: its bytes are not those that were written")
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """-> what a committed folder says of itself, the files unread. Raises Damaged."""
    path = folder / MANIFEST
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise Damaged(f"{path}: missing") from None
    try:
        manifest = json.loads(raw)
        body = {key: value for key, value in manifest.items() if key != "sha256"}
        whole = dump(_with_own_hash(body)).encode() == raw  # each byte counts, spaces too
    except (ValueError, AttributeError, TypeError):
        whole = False
    if not whole:
        raise Damaged(f"{path}: its bytes are not those that were written")
    if manifest["schema"] != SCHEMA:
        raise UserError(f"{path}: schema {manifest['schema']}, but this version of tunesmith reads {SCHEMA}")
    assert isinstance(manifest, dict)
    return manifest


def _aside(name: str) -> str:
    return f"{name}.tmp-{secrets.token_hex(4)}"


def remove_unfinished(folder: Path) -> None:
    """Delete what a killed process left half written in `folder`. Call it with the run locked."""
    for path in folder.glob("*.tmp-????????"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def remove_folder(path: Path) -> None:
    """Delete a committed folder: it is whole until it is gone, even when the process dies in between."""
    aside = path.with_name(_aside(path.name))
    with writing(path):
        path.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


class RunLock:
    """`with RunLock(folder):` one process at a time. The kernel lets go when the process dies, however it dies."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "run.lock"

    def __enter__(self) -> Self:
        make_folder(self.path.parent)
        with writing(self.path):
            self._number = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
        try:
            fcntl.flock(self._number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(self._number, 20).decode(errors="replace").strip() or "unknown"
            os.close(self._number)
            raise UserError(
                f"{self.path.parent}: in use by another run (process {owner}); "
                "wait for it or choose another output folder"
            ) from None
        with writing(self.path):
            os.ftruncate(self._number, 0)
            os.pwrite(self._number, f"{os.getpid()}\n".encode(), 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The file stays: removing it would let a third process lock a file that the second no longer sees.
        os.close(self._number)
