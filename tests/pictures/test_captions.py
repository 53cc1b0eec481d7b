import json
from pathlib import Path

import pytest

from tests.pictures.drawn import drawn, folder_of
from tunesmith.core.errors import UserError
from tunesmith.pictures.captions import words_of
from tunesmith.pictures.config import Pictures
from tunesmith.pictures.prepare import PreparedPictures, prepare


def prepared(folder: Path, prompt: str | None = None, **how: object) -> PreparedPictures:
    return prepare(Pictures(train=str(folder), **({"split": 0} | how)), size=32, multiple=8, prompt=prompt)


def captions(folder: Path, prompt: str | None = None, **how: object) -> list[str]:
    return [picture.caption for picture in prepared(folder, prompt, **how).train]


def named(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        drawn(number).save(folder / name)
    return folder


def table(folder: Path, *lines: object) -> Path:
    (folder / "metadata.jsonl").write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    return folder


def test_text_files_are_found_cleaned_and_may_be_empty(tmp_path: Path) -> None:
    named(tmp_path, "a.png", "b.png", "c.png")
    (tmp_path / "a.txt").write_bytes("\ufeff ein grüner\r\n  Ball \n".encode())
    (tmp_path / "b.TXT").write_text("b")
    (tmp_path / "c.txt").write_text(" \n")
    found = prepared(tmp_path)
    assert [picture.caption for picture in found.train] == ["ein grüner Ball", "b", ""]
    assert found.facts["captions"] == "files" and found.facts["without_caption"] == 1


def test_tables_are_found_also_in_sub_folders(tmp_path: Path) -> None:
    table(named(tmp_path, "a.png", "x/b.png"), {"file_name": "a.png", "text": "é 😀", "width": 3})
    table(tmp_path / "x", {"file_name": "b.png", "text": "b"})
    assert captions(tmp_path) == ["é 😀", "b"]


def test_names_are_captions_when_they_are_words(tmp_path: Path) -> None:
    assert captions(named(tmp_path, "red_cat-1.png", "red_cat-2.png", "a blue.dog (3).png")) == [
        "a blue dog",
        "red cat",
        "red cat",
    ]


@pytest.mark.parametrize("name", ["IMG_0123", "DSC00042", "PXL_20240101", "0007", "d41d8cd98f00b204e980", "photo 3"])
def test_names_of_cameras_are_not_words(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=rf"{name}\.png: no caption: .*data\.captions=none"):
        captions(named(tmp_path, f"{name}.png"))
    assert captions(tmp_path, captions="none") == [""]


@pytest.mark.parametrize(
    ("name", "words"), [("a-b_c.x", "a b c x"), ("cat2", "cat"), ("007", ""), ("Ünder_wäter", "Ünder wäter")]
)
def test_words_of_a_name(name: str, words: str) -> None:
    assert words_of(Path(f"{name}.png")) == words


def test_a_prompt_is_the_caption_of_all_unless_the_recipe_says_otherwise(tmp_path: Path) -> None:
    folder_of(tmp_path, 2)
    assert captions(tmp_path, "a zwx cat") == ["a zwx cat"] * 2
    assert captions(tmp_path, "a zwx cat", captions="none") == ["a zwx cat"] * 2
    assert captions(tmp_path, "a zwx cat", captions="files") == ["thing, number 0, round", "thing, number 1, round"]


def test_a_picture_without_its_caption_is_named_with_what_to_do(tmp_path: Path) -> None:
    (folder_of(tmp_path, 3) / "1.txt").unlink()
    with pytest.raises(UserError, match=r"1\.png: no caption; write 1\.txt beside it") as caught:
        captions(tmp_path)
    assert "more" not in str(caught.value)
    (tmp_path / "2.txt").unlink()
    with pytest.raises(UserError, match=r"1\.png: .* \(and 1 more: `tunesmith check` lists them\)"):
        captions(tmp_path)


def test_a_picture_that_no_line_has_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"b\.png: no caption; no line of .*metadata\.jsonl has it"):
        captions(table(named(tmp_path, "a.png", "b.png"), {"file_name": "a.png", "text": "a"}))


def test_captions_of_no_picture_are_said(tmp_path: Path) -> None:
    (folder_of(tmp_path / "files", 2) / "old.txt").write_text("gone")
    assert any("old.txt): captions of no picture" in line for line in prepared(tmp_path / "files").said)
    table(named(tmp_path / "table", "a.png"), *({"file_name": n, "text": "x"} for n in ("a.png", "../../b.png")))
    assert any("line 2 (b.png)): captions of no picture" in line for line in prepared(tmp_path / "table").said)


def test_two_pictures_with_one_name_cannot_share_a_caption(tmp_path: Path) -> None:
    named(tmp_path, "a cat.png", "a cat.jpg")
    assert captions(tmp_path) == ["a cat"] * 2
    (tmp_path / "a cat.txt").write_text("which?")
    with pytest.raises(UserError, match=r"a cat\.png has the same name, so a cat\.txt would be said of both"):
        captions(tmp_path)


def test_two_sources_of_captions_need_a_word(tmp_path: Path) -> None:
    table(folder_of(tmp_path, 1), {"file_name": "0.png", "text": "table"})
    with pytest.raises(UserError, match=r"data\.captions=metadata or data\.captions=files"):
        captions(tmp_path)
    assert captions(tmp_path, captions="metadata") == ["table"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("grün".encode("latin-1"), "line 1: byte 0xfc at offset 2 is not UTF-8"),
        ("grün".encode("utf-16"), "UTF-16"),
        (b"a\0b", "NUL byte"),
    ],
)
def test_captions_that_are_not_utf_8_are_named(tmp_path: Path, data: bytes, words: str) -> None:
    (folder_of(tmp_path, 2) / "1.txt").write_bytes(data)
    with pytest.raises(UserError, match=words) as caught:
        captions(tmp_path)
    assert "1.txt" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"file_name": "a.png"', "line 1: broken JSON"),
        ('["a.png"]', "line 1: must be an object"),
        ('{"file_name": "a.png", "caption": "x"}', "line 1: `text` must be a text; the line holds file_name, caption"),
        ('{"file_name": 3, "text": "x"}', "`file_name` must be a text"),
        ('{"file_name": "a\\u0000.png", "text": "x"}', "`file_name` holds a NUL"),
        ('{"file_name": "a.png", "text": "\\ud800"}', "`text` holds a NUL or half a character"),
        ('{"file_name": "a.png", "text": "x"}\n{"file_name": "./a.png", "text": "y"}', "line 2: a.png already has"),
        ("", "the file is empty"),
    ],
)
def test_a_bad_line_of_a_table_is_named(tmp_path: Path, line: str, words: str) -> None:
    (named(tmp_path, "a.png") / "metadata.jsonl").write_text(line)
    with pytest.raises(UserError, match=words) as caught:
        captions(tmp_path)
    assert "metadata.jsonl" in str(caught.value)


def test_a_table_that_is_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no metadata\.jsonl"):
        captions(named(tmp_path, "a.png"), captions="metadata")
