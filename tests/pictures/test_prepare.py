import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from tests.pictures.drawn import drawn, folder_of
from tunesmith.core.errors import UserError
from tunesmith.pictures.alike import groups, likeness
from tunesmith.pictures.config import Pictures
from tunesmith.pictures.held_out import held_out
from tunesmith.pictures.prepare import PreparedPictures, prepare


def prepared(folder: Path, **how: object) -> PreparedPictures:
    return prepare(Pictures(train=str(folder), **how), size=32, multiple=8)


def said(found: PreparedPictures, words: str) -> bool:
    return any(words in line for line in found.said)


def test_what_a_folder_holds(tmp_path: Path) -> None:
    found = prepared(folder_of(tmp_path, 12))
    json.dumps(found.facts)
    assert (len(found.train), len(found.validation)) == (11, 1)
    first = found.train[0]
    assert (first.width, first.height, first.row) == (48, 40, 1)
    assert found.facts["rows_read"] == 12 and found.facts["buckets"] == {"32x32": 12}
    assert found.said[0] == f"{tmp_path}: 12 pictures, captions from .txt files"


def test_the_split_goes_by_content_and_not_by_name_or_place(tmp_path: Path) -> None:
    before = prepared(folder_of(tmp_path / "a", 12), split=0.25, captions="none")
    (tmp_path / "b" / "sub").mkdir(parents=True)
    for number in range(12):
        shutil.copy(
            tmp_path / "a" / f"{number}.png", tmp_path / "b" / ("sub" if number % 2 else "") / f"z{11 - number}.png"
        )
    after = prepared(tmp_path / "b", split=0.25, captions="none")
    assert len(before.validation) == 3
    assert {p.sha256 for p in before.validation} == {p.sha256 for p in after.validation}


def test_pictures_that_are_alike_stay_on_one_side(tmp_path: Path) -> None:
    for number in range(10):
        drawn(number, (96, 96)).save(tmp_path / f"{number}.png")
        for copy in range(3):
            changed = drawn(number, (96, 96)).resize((90 - copy, 90), Image.Resampling.BICUBIC)
            ImageEnhance.Brightness(changed).enhance(1 + 0.02 * copy).save(
                tmp_path / f"{number}-{copy}.jpg", quality=80
            )
    found = prepared(tmp_path, split=0.3, captions="none")
    sides = [{p.path.stem.split("-")[0] for p in part} for part in (found.train, found.validation)]
    assert not sides[0] & sides[1] and sides[0] | sides[1] == {str(n) for n in range(10)}
    assert found.facts["duplicates"] == {"exact": 0, "near": 30}
    assert said(found, "30 more look almost like another one")


def test_one_shape_in_other_colours_is_another_picture() -> None:
    discs = []
    for colour in ("red", "blue", "green", "yellow"):
        image = Image.new("RGB", (64, 64), "white")
        image.paste(colour, (16, 16, 48, 48))
        discs.append(likeness(image))
    assert groups(discs) == [0, 1, 2, 3]
    assert groups([discs[1], discs[0], discs[1]])[0::2] == [0, 0]
    assert groups([]) == [] and groups(discs[:1]) == [0]


@settings(max_examples=80, deadline=None)
@given(group=st.lists(st.integers(0, 9), max_size=40), share=st.floats(0, 0.99), data=st.data())
def test_what_is_held_out(group: list[int], share: float, data: st.DataObject) -> None:
    digests = [f"{place:064x}"[::-1] for place in range(len(group))]
    out = held_out(group, digests, share)
    assert {group[place] for place in out}.isdisjoint(group[place] for place in range(len(group)) if place not in out)
    assert len(out) < len(group) or not group
    if len(set(group)) < 5 or share == 0:
        assert not out
    elif len(set(group)) == len(group):
        assert len(out) == min(max(1, round(share * len(group))), len(group) - 1)
    order = data.draw(st.permutations(range(len(group))))
    again = held_out([group[p] for p in order], [digests[p] for p in order], share)
    assert {digests[p] for p in out} == {digests[order[p]] for p in again}


def test_too_few_pictures_are_all_learned(tmp_path: Path) -> None:
    found = prepared(folder_of(tmp_path, 4))
    assert len(found.train) == 4 and not found.validation and said(found, "no picture is held out")
    assert not said(prepared(tmp_path, split=0), "no picture is held out")


def test_own_pictures_for_validation(tmp_path: Path) -> None:
    folder_of(tmp_path / "train", 6)
    folder_of(tmp_path / "train" / "held", 8)
    found = prepared(tmp_path / "train", validation=str(tmp_path / "train" / "held"))
    assert (len(found.train), len(found.validation)) == (6, 8)
    assert found.facts["overlap"] == 6 and said(found, "6 pictures of data.validation are (almost) in data.train too")
    folder_of(tmp_path / "same", 8)
    with pytest.raises(UserError, match=r"data\.validation holds the same pictures as data\.train"):
        prepared(tmp_path / "train" / "held", validation=str(tmp_path / "same"))


def test_repeats_of_folders(tmp_path: Path) -> None:
    folder_of(tmp_path, 2)
    folder_of(tmp_path / "front", 2)
    folder_of(tmp_path / "front" / "near", 2)
    assert len(prepared(tmp_path, split=0, repeats=3).train) == 18
    found = prepared(tmp_path, split=0, repeats={"front": 2, "front/near": 5})
    assert [p.path.parent.name for p in found.train].count("near") == 10 and len(found.train) == 16
    assert said(found, "6 pictures make 16 examples of an epoch")
    with pytest.raises(UserError, match=r"data\.repeats\.frnt: .*did you mean `front`"):
        prepared(tmp_path, repeats={"frnt": 2})


def test_a_limit_chooses_by_content(tmp_path: Path) -> None:
    found = prepared(folder_of(tmp_path, 9), limit=6, split=0)
    assert len(found.train) == 6 and said(found, "6 of 9 pictures are used")
    fewer = prepared(tmp_path, limit=3, split=0)
    assert {p.sha256 for p in fewer.train} < {p.sha256 for p in found.train}


def test_masks_belong_to_their_pictures(tmp_path: Path) -> None:
    folder_of(tmp_path / "p", 2)
    folder_of(tmp_path / "p" / "sub", 1)
    masks = tmp_path / "p" / "masks"
    (masks / "sub").mkdir(parents=True)
    for name in ("0", "sub/0", "other"):
        Image.new("L", (48, 40), 255).save(masks / f"{name}.png")
    found = prepared(tmp_path / "p", masks=str(masks), split=0)
    assert [p.mask and str(p.mask.relative_to(masks)) for p in found.train] == ["0.png", None, "sub/0.png"]
    assert said(found, "1.png): without a mask") and said(found, "other.png): masks of no picture")
    Image.new("L", (8, 40), 255).save(masks / "0.png")
    with pytest.raises(UserError, match=r"masks/0\.png: the mask has 8x40 pixels"):
        prepared(tmp_path / "p", masks=str(masks))
    with pytest.raises(UserError, match=r"holds no mask named as a picture is; the mask of 0\.png is 0\.png"):
        prepared(tmp_path / "p", masks=str(folder_of(tmp_path / "x" / "y", 3).parent))


def test_what_systems_hide_is_not_read(tmp_path: Path) -> None:
    folder_of(tmp_path, 2)
    (tmp_path / "._0.png").write_bytes(b"finder")
    (tmp_path / ".thumbs").mkdir()
    (tmp_path / ".thumbs" / "0.png").write_bytes(b"")
    (tmp_path / "phone.heic").write_bytes(b"x")
    found = prepared(tmp_path, split=0)
    assert len(found.train) == 2 and said(found, "phone.heic): of a kind that is not opened")


def test_doubts_are_said(tmp_path: Path) -> None:
    folder_of(tmp_path, 3, size=(20, 20))
    (tmp_path / "0.txt").write_text("a ball on the Left")
    frames = [drawn(n, (40, 40)) for n in (7, 8)]
    frames[0].save(tmp_path / "m.gif", save_all=True, append_images=frames[1:])
    (tmp_path / "m.txt").write_text("moving")
    found = prepared(tmp_path, flip=True, crop="random", shuffle_captions=True, background="red")
    assert said(found, "m.gif): of several frames, the first one is used")
    assert said(found, "3 (") and said(found, "smaller than their bucket and enlarged")
    assert said(found, "0.png): mirrored by data.flip, and their captions say left or right")
    assert said(found, "data.crop=random changes nothing") and said(found, "data.background changes nothing")
    assert not said(found, "data.shuffle_captions changes nothing")
    (tmp_path / "one").mkdir()
    drawn(1).save(tmp_path / "one" / "cat.png")
    assert said(prepared(tmp_path / "one", shuffle_captions=True), "data.shuffle_captions changes nothing")


def test_a_tiny_picture_is_refused(tmp_path: Path) -> None:
    drawn(0, (30, 1)).save(folder_of(tmp_path, 3) / "tiny.png")
    with pytest.raises(UserError, match=r"tiny\.png: 30x1 pixels would be blown up"):
        prepared(tmp_path, captions="none")


def test_folders_that_cannot_be(tmp_path: Path) -> None:
    folder_of(tmp_path / "cats", 2)
    with pytest.raises(UserError, match=r"cat: no such folder of pictures; did you mean `cats`"):
        prepared(tmp_path / "cat")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty: holds no picture \(\.png, \.jpg"):
        prepared(tmp_path / "empty")
    with pytest.raises(UserError, match=r"named twice"):
        prepare(Pictures(train=(str(tmp_path / "cats"), str(tmp_path / "cats" / "0.png"))), size=32, multiple=8)
    with pytest.raises(UserError, match=r"no such folder of masks"):
        prepared(tmp_path / "cats", masks=str(tmp_path / "none"))


def test_the_fingerprint_moves_with_all_that_is_learned_from(tmp_path: Path) -> None:
    folder_of(tmp_path, 6)
    own = prepared(tmp_path, split=0).facts["sha256"]
    hows = [
        {"flip": True},
        {"crop": "random"},
        {"background": "red"},
        {"shuffle_captions": True},
        {"size": 64},
        {"repeats": 2},
        {"split": 0.2},
        {"caption_dropout": 0.5},
        {"captions": "none"},
        {"flip": True, "variants": 7},
    ]
    others = [prepared(tmp_path, **({"split": 0} | how)).facts["sha256"] for how in hows]
    assert len({own, *others}) == 1 + len(hows)
    (tmp_path / "0.txt").write_text("another")
    assert prepared(tmp_path, split=0).facts["sha256"] != own
