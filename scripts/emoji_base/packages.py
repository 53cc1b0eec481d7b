"""The six npm packages that the pictures and their names come from: pinned, checked by sha256, with their licences."""

import json
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tunesmith.core.errors import UserError
from tunesmith.core.files import sha256


@dataclass(frozen=True, slots=True)
class Package:
    name: str
    version: str
    sha256: str
    licence: str
    gives: str

    @property
    def file(self) -> str:
        return f"{self.name.lstrip('@').replace('/', '-')}-{self.version}.tgz"


PACKAGES = {
    "3d": Package(
        "@lobehub/fluent-emoji-3d",
        "1.1.0",
        "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
        "MIT (Microsoft Fluent Emoji)",
        "the style `3d`",
    ),
    "flat": Package(
        "@iconify-json/fluent-emoji-flat",
        "1.2.6",
        "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
        "MIT (Microsoft Fluent Emoji)",
        "the style `flat`",
    ),
    "noto": Package(
        "@iconify-json/noto",
        "1.2.9",
        "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad",
        "Apache-2.0 (Google Noto Emoji)",
        "the style `noto`",
    ),
    "twemoji": Package(
        "@iconify-json/twemoji",
        "1.2.5",
        "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7",
        "CC BY 4.0 (Twemoji, by Twitter and contributors)",
        "the style `twemoji`, held out of training: pictures to judge by",
    ),
    "names": Package(
        "unicode-emoji-json",
        "0.9.0",
        "ae7efacb55533385bf8767d613dbd36c71226669759d95919a6e9059f5e4c401",
        "MIT",
        "names and groups",
    ),
    "keywords": Package(
        "cldr-annotations-full",
        "48.2.0",
        "28576e51225deb51e3ddd734b0f824a0079682cb5d8c27faa9f68149317a14d1",
        "Unicode-3.0",
        "keywords",
    ),
}


def download(folder: Path) -> None:
    """Bring each package that `folder` lacks, through npm and its settings; refuse other bytes than the pinned ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES.values():
        target = folder / package.file
        if not target.exists():
            _pack(package, target)
        if sha256(target) != package.sha256:
            raise UserError(f"{target}: not the pinned {package.name} {package.version}; delete it and try again")


def _pack(package: Package, target: Path) -> None:
    if shutil.which("npm") is None:
        raise UserError(f"{target}: missing, and there is no npm to bring {package.name}@{package.version}")
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        command = ["npm", "pack", "--silent", f"{package.name}@{package.version}"]
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True)
        if done.returncode != 0:
            reason = (done.stderr.strip() or f"status {done.returncode}").splitlines()[-1]
            raise UserError(f"{package.name}@{package.version}: npm could not bring it: {reason}")
        (Path(scratch) / package.file).rename(target)


class Archive:
    """The members of one package, read once into memory."""

    def __init__(self, folder: Path, key: str) -> None:
        with tarfile.open(folder / PACKAGES[key].file) as archive:
            files = ((m.name.removeprefix("package/"), archive.extractfile(m)) for m in archive.getmembers())
            self.members = {name: file.read() for name, file in files if file is not None and _wanted(name)}
        self._parsed: dict[str, Any] = {}

    def json(self, member: str) -> Any:
        if member not in self._parsed:
            self._parsed[member] = json.loads(self.members[member])
        return self._parsed[member]


def _wanted(name: str) -> bool:
    return name.endswith(".webp") or name in {
        "icons.json",
        "chars.json",
        "data-by-emoji.json",
        "annotations/en/annotations.json",
    }


@cache
def archive(folder: Path, key: str) -> Archive:
    return Archive(folder, key)
