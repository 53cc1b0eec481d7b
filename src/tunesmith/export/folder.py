"""A folder for others to read: whole or absent, written aside, forced to the disk, then renamed."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tunesmith.core.errors import UserError
from tunesmith.core.files import make_folder, sync_folder, writing


def refuse_taken(target: Path) -> None:
    """UserError when something lies at `target`: what others may use is never written over."""
    if target.is_symlink() or target.is_file() or (target.is_dir() and any(target.iterdir())):
        raise UserError(f"{target}: exists already; choose another folder or remove it")


@contextmanager
def whole_folder(target: Path, *, replaces: str | None = None) -> Iterator[Path]:
    """Yield a folder to write into, which becomes `target` when the block ends well; nothing remains otherwise.

    An existing `target` is replaced only when it holds the file `replaces`, the mark of what we wrote there before.
    """
    if replaces is None or not (target / replaces).is_file():
        refuse_taken(target)
    make_folder(target.parent)
    aside = target.with_name(f"{target.name}.tmp-{secrets.token_hex(4)}")
    with writing(target):
        try:
            aside.mkdir()
            yield aside
            for path in sorted(aside.rglob("*")):
                _sync(path)
            sync_folder(aside)
            _swap(aside, target)
            sync_folder(target.parent)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise


def _sync(path: Path) -> None:
    if path.is_dir():
        sync_folder(path)
        return
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _swap(aside: Path, target: Path) -> None:
    if not target.exists():
        os.rename(aside, target)
        return
    old = target.with_name(f"{target.name}.tmp-{secrets.token_hex(4)}")
    os.rename(target, old)
    os.rename(aside, target)
    shutil.rmtree(old, ignore_errors=True)
