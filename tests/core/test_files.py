import errno
import fcntl
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tunesmith.core import files
from tunesmith.core.errors import RunFailed, UserError


def test_a_file_is_replaced_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"b": 1})
    files.write_json(path, {"b": 2})
    assert json.loads(path.read_text()) == {"b": 2}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    files.write_text(path, "ü", mode=0o644)
    assert path.read_bytes() == "ü".encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_not_a_number_is_not_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "a.json", {"b": float("nan")})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("number", "kind", "advice"),
    [
        (errno.ENOSPC, UserError, "make room"),
        (errno.EDQUOT, UserError, "make room"),
        (errno.EACCES, UserError, "choose a folder"),
        (errno.EROFS, UserError, "choose a folder"),
        (errno.EIO, RunFailed, "check the disk"),
    ],
)
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_refusal_names_the_path_and_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception], advice: str, call: str
) -> None:
    path = tmp_path / "a.txt"
    files.write_text(path, "old")

    def refuse(*given: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(kind, match=advice) as caught:
        files.write_text(path, "new")
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_the_number_in_a_message_of_safetensors_is_understood(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no space left on device"), files.writing(tmp_path / "a"):
        raise RuntimeError("I/O error: No space left on device (os error 28)")


def test_a_folder_appears_whole_with_its_manifest(tmp_path: Path) -> None:
    target = tmp_path / "made"
    with files.commit_folder(target, {"what": "test"}) as aside:
        (aside / "a.bin").write_bytes(b"abc")
        assert not target.exists()
    manifest = files.verify_folder(target)
    assert manifest["what"] == "test"
    assert manifest["files"] == {"a.bin": {"bytes": 3, "sha256": files.sha256(target / "a.bin")}}
    assert {stat.S_IMODE(p.stat().st_mode) for p in target.iterdir()} == {0o600}
    assert stat.S_IMODE(target.stat().st_mode) == 0o700
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), files.commit_folder(tmp_path / "made", {}) as aside:
        (aside / "a.bin").write_bytes(b"abc")
        raise KeyError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.bin", files.MANIFEST])
def test_each_bit_counts(tmp_path: Path, name: str) -> None:
    target = tmp_path / "made"
    with files.commit_folder(target, {"what": "test"}) as aside:
        (aside / "a.bin").write_bytes(b"abc")
    good = (target / name).read_bytes()
    for place in range(len(good)):
        bad = bytearray(good)
        bad[place] ^= 1 << place % 8
        (target / name).write_bytes(bad)
        with pytest.raises(files.Damaged, match=name):
            files.verify_folder(target)
    for length in range(len(good)):
        (target / name).write_bytes(good[:length])
        with pytest.raises(files.Damaged, match=name):
            files.verify_folder(target)
    (target / name).unlink()
    with pytest.raises(files.Damaged, match="missing"):
        files.verify_folder(target)


def test_another_schema_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SCHEMA", 2)
    with files.commit_folder(tmp_path / "made", {}):
        pass
    monkeypatch.setattr(files, "SCHEMA", 1)
    with pytest.raises(UserError, match="schema 2"):
        files.verify_folder(tmp_path / "made")


def test_only_unfinished_things_are_removed(tmp_path: Path) -> None:
    (tmp_path / "a.tmp-0123abcd").mkdir()
    (tmp_path / "a.tmp-0123abcd" / "b").write_text("c")
    (tmp_path / "b.json.tmp-0123abcd").write_text("c")
    (tmp_path / "kept.txt").write_text("c")
    files.remove_unfinished(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["kept.txt"]


def test_a_second_run_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tunesmith.core.files import RunLock\n"
        "with RunLock(Path(sys.argv[1])): print('held', flush=True); input()"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert first.stdout is not None and first.stdout.readline() == "held\n"
    with pytest.raises(UserError, match=rf"process {first.pid}\b"), files.RunLock(tmp_path):
        pass
    first.kill()  # the kernel lets go
    first.wait()
    first.stdout.close()
    with files.RunLock(tmp_path) as lock:
        assert lock.path.read_text() == f"{os.getpid()}\n"
        with lock.path.open() as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with files.RunLock(tmp_path):
        pass
