import hashlib
import json
from pathlib import Path

import pytest

from tunesmith.catalogue.entries import CATALOGUE, entry
from tunesmith.catalogue.fetch import fetch, is_here
from tunesmith.catalogue.prepare import PREPARE
from tunesmith.core.errors import UserError


def test_every_download_is_pinned_and_can_be_prepared() -> None:
    packaged = {e.name for e in CATALOGUE.values() if e.package}
    assert packaged == set(PREPARE)
    for found in CATALOGUE.values():
        assert len(found.sha256) == 64
        assert found.licence in found.label and found.source in found.label
        assert found.package is None or (found.version and found.size > 0)


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(UserError, match=r"smolm2-135m: not in the catalogue .*did you mean `smollm2-135m`"):
        entry("smolm2-135m")


def test_the_general_text_is_part_of_the_package_and_is_the_pinned_one(tmp_path: Path) -> None:
    path = fetch("state-of-the-union", allow_download=False, cache=tmp_path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == entry("state-of-the-union").sha256
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == len({row["text"] for row in rows}) == 60
    assert all(100 <= len(row["text"].split()) < 200 for row in rows)
    assert not list(tmp_path.iterdir())


def test_arithmetic_is_made_without_a_network_and_is_the_pinned_one(tmp_path: Path) -> None:
    assert is_here("arithmetic", tmp_path)
    folder = fetch("arithmetic", allow_download=False, cache=tmp_path, say=lambda line: None)
    assert folder == fetch("arithmetic", allow_download=False, cache=tmp_path)
    written = b"".join((folder / name).read_bytes() for name in ("test.jsonl", "train.jsonl"))
    assert hashlib.sha256(written).hexdigest() == entry("arithmetic").sha256
    train, test = ([json.loads(x) for x in (folder / f"{n}.jsonl").read_text().splitlines()] for n in ("train", "test"))
    assert (len(train), len(test)) == (450, 160)
    assert len({row["prompt"] for row in [*train, *test]}) == 610
    for row in train:
        a, sign, b = row["prompt"].split()[2:5]
        assert int(row["answer"]) == int(a) + int(b.rstrip("?")) * (1 if sign == "+" else -1)


def test_the_pictures_of_the_package_are_the_pinned_ones(tmp_path: Path) -> None:
    for name, count in (("emoji-cat", 6), ("emoji-cats", 4)):
        paths = sorted(fetch(name, allow_download=False, cache=tmp_path).glob("*.png"))
        assert len(paths) == count
        assert hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest() == entry(name).sha256
