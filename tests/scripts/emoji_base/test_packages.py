import io
import json
import tarfile
from pathlib import Path

import pytest

from scripts.emoji_base.drawings import emoji
from scripts.emoji_base.packages import PACKAGES, download
from tunesmith.core.errors import UserError

CAT, FLAG = "\U0001f431", "\U0001f1e6"
NAMES = {CAT: {"name": "cat\u2019s face", "group": "Animals & Nature"}, FLAG: {"name": "flag", "group": "Flags"}}
WORDS = {"annotations": {"annotations": {CAT: {"default": ["cat", "pet"], "tts": ["cat face"]}}}}
BODY = '<rect width="8" height="16" fill="#ff0000"/>'
ICONS = {"icons": {"cat": {"body": BODY}}, "width": 16, "height": 16}


def packed(folder: Path, key: str, members: dict[str, object]) -> None:
    with tarfile.open(folder / PACKAGES[key].file, "w:gz") as archive:
        for name, value in members.items():
            raw = json.dumps(value).encode()
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(raw)
            archive.addfile(info, io.BytesIO(raw))


def test_an_emoji_is_found_named_and_drawn(tmp_path: Path):
    pytest.importorskip("resvg_py")
    packed(tmp_path, "names", {"data-by-emoji.json": NAMES})
    packed(tmp_path, "keywords", {"annotations/en/annotations.json": WORDS})
    packed(tmp_path, "noto", {"icons.json": ICONS, "chars.json": {"1f431": "cat"}})
    ((one, picture),) = emoji(tmp_path, "noto")
    assert (one.code, one.name, one.tags, one.style) == ("1f431", "cat's face", ("cat", "pet"), "noto")
    assert picture.getpixel((10, 48)) == (255, 0, 0, 255)
    assert picture.getpixel((86, 48))[3] == 0


def test_other_bytes_than_the_pinned_ones_are_refused(tmp_path: Path):
    first = next(iter(PACKAGES.values()))
    (tmp_path / first.file).write_bytes(b"something else")
    with pytest.raises(UserError, match=f"{first.file}: not the pinned {first.name}"):
        download(tmp_path)
