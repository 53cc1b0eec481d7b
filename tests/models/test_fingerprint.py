import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tunesmith.models import fingerprint
from tunesmith.models.fingerprint import file_sha256


def test_it_names_the_contents_not_the_place(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    other = shutil.copytree(tiny_folder("llama"), tmp_path / "copy")
    first = fingerprint.fingerprint(tiny_folder("llama"), tmp_path)
    assert first == fingerprint.fingerprint(other, tmp_path)
    assert first != fingerprint.fingerprint(tiny_folder("qwen3"), tmp_path)
    config = other / "config.json"
    config.write_text(config.read_text().replace("256", "512"))
    assert first != fingerprint.fingerprint(other, tmp_path)


def test_an_unchanged_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, cache = tmp_path / "x", tmp_path / "cache"
    file.write_bytes(b"one")
    first = file_sha256(file, cache)
    with monkeypatch.context() as patch:
        patch.setattr(fingerprint, "sha256", None)
        assert file_sha256(file, cache) == first
    file.write_bytes(b"two")
    os.utime(file, ns=(1, 1))
    assert file_sha256(file, cache) != first


def test_a_cache_that_cannot_be_used_costs_only_time(tmp_path: Path) -> None:
    file, blocked, damaged = tmp_path / "x", tmp_path / "file", tmp_path / "damaged"
    file.write_bytes(b"one")
    blocked.touch()
    damaged.mkdir()
    (damaged / "fingerprints.json").write_text("[1, ")
    assert file_sha256(file, blocked) == file_sha256(file, damaged) == file_sha256(file, tmp_path)
