import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tests.pictures.drawn import drawn, folder_of
from tunesmith.core.errors import UserError
from tunesmith.pictures.check import findings, sentence
from tunesmith.pictures.config import Pictures
from tunesmith.pictures.gather import gather
from tunesmith.pictures.prepare import prepare
from tunesmith.pictures.sheet import contact_sheet


def found(folder: Path, **how: object) -> dict[str, list[str]]:
    """-> the names of the files of each kind of finding."""
    config = Pictures(train=str(folder), **how)
    made = findings(config, gather(config, size=64, multiple=8))
    json.dumps(made)
    for one in made:
        assert one["count"] == len(one["files"]) and "\n" not in sentence(one) and one["message"]
    kinds = {one["kind"] for one in made}
    return {kind: [Path(f).name for one in made if one["kind"] == kind for f in one["files"]] for kind in kinds}


def test_good_pictures_raise_no_doubt(tmp_path: Path) -> None:
    assert found(folder_of(tmp_path, 4, size=(100, 90))) == {}


def test_each_doubt_has_its_kind(tmp_path: Path) -> None:
    folder_of(tmp_path, 3, size=(100, 90))
    sharp = drawn(11, (128, 128))
    extra = {
        "small.png": drawn(10, (40, 40)),
        "long.png": drawn(12, (900, 90)),
        "sharp.png": sharp,
        "blurred.png": drawn(13, (128, 128)).filter(ImageFilter.GaussianBlur(5)),
        "flat.png": Image.new("RGB", (90, 90), "teal"),
        "lighter.png": sharp.point(lambda value: min(255, int(value * 1.05))),
    }
    for name, image in extra.items():
        image.save(tmp_path / name)
        (tmp_path / name).with_suffix(".txt").write_text(name)
    drawn(14, (90, 90)).save(tmp_path / "moving.gif", save_all=True, append_images=[drawn(15, (90, 90))])
    (tmp_path / "moving.txt").write_text(" ")
    shutil.copy(tmp_path / "0.png", tmp_path / "again.png")
    (tmp_path / "again.txt").write_text("other words")
    (tmp_path / "lost.txt").write_text("x")
    (tmp_path / "phone.heic").write_bytes(b"x")
    assert found(tmp_path) == {
        "small": ["small.png"],
        "cropped": ["long.png"],
        "blurred": ["blurred.png"],
        "flat": ["flat.png"],
        "animated": ["moving.gif"],
        "no_words": ["moving.gif"],
        "exact_duplicate": ["again.png"],
        "near_duplicate": ["sharp.png"],
        "two_captions": ["0.png", "again.png"],
        "orphan_caption": ["lost.txt"],
        "not_opened": ["phone.heic"],
    }


def test_all_that_stops_a_run_is_listed_at_once(tmp_path: Path) -> None:
    folder_of(tmp_path, 5, size=(100, 90))
    (tmp_path / "0.png").write_bytes(b"")
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:500])
    (tmp_path / "2.txt").write_bytes(b"\xfc")
    (tmp_path / "3.txt").unlink()
    drawn(8, (100, 90)).save(tmp_path / "4.jpg")
    drawn(9, (90, 1)).save(tmp_path / "tiny.png")
    listed = found(tmp_path)
    assert {kind: sorted(names) for kind, names in listed.items()} == {
        "unreadable": ["0.png", "1.png"],
        "bad_caption": ["2.txt, line 1"],
        "no_caption": ["3.png"],
        "same_name": ["4.jpg", "4.jpg", "4.png", "4.png"],  # once as a problem of each, once as names
        "too_small": ["tiny.png"],
    }
    with pytest.raises(UserError, match=r"0\.png: the file is empty .*\(and 6 more: `tunesmith check` lists them\)"):
        prepare(Pictures(train=str(tmp_path)), size=64, multiple=8)


def test_masks_are_looked_at(tmp_path: Path) -> None:
    folder_of(tmp_path / "p", 3, size=(100, 90))
    (tmp_path / "m").mkdir()
    for name, size in (("0", (100, 90)), ("1", (5, 90)), ("9", (100, 90))):
        Image.new("L", size, 255).save(tmp_path / "m" / f"{name}.png")
    assert found(tmp_path / "p", masks=str(tmp_path / "m")) == {
        "bad_mask": ["1.png"],
        "no_mask": ["2.png"],
        "orphan_mask": ["9.png"],
    }


def test_the_sheet_is_bright_where_a_picture_is_kept(tmp_path: Path) -> None:
    Image.new("RGB", (400, 80), "white").save(tmp_path / "wide strip.png")
    config = Pictures(train=str(tmp_path), buckets=False)
    contact_sheet(gather(config, size=64, multiple=8).train, tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png").convert("L")).astype(int)
    row = sheet[28 + 60 - 2, 10:130]  # through the middle of the first picture, 120 pixels wide and 24 high
    dark = row < 120
    assert dark[:45].all() and dark[-45:].all() and not dark[52:68].any()
    assert abs(dark.sum() - 96) <= 6  # a fifth of the strip is kept


def test_a_large_bucket_shows_those_that_lose_most(tmp_path: Path) -> None:
    folder_of(tmp_path, 30, captions=False, size=(64, 64))
    config = Pictures(train=str(tmp_path), captions="none")
    contact_sheet(gather(config, size=64, multiple=8).train, tmp_path / "a.png")
    contact_sheet(gather(config, size=64, multiple=8).train[:24], tmp_path / "b.png")
    assert Image.open(tmp_path / "a.png").size == Image.open(tmp_path / "b.png").size
