"""`tunesmith check FOLDER` of pictures: no base, no weights; all that is wrong at once."""

import json
from pathlib import Path

from PIL import Image

from tests.cli.conftest import Command
from tests.pictures.drawn import drawn, folder_of


def test_a_folder_of_pictures_is_told_from_one_of_texts(tunesmith: Command, tmp_path: Path) -> None:
    said = tunesmith(
        "check", folder_of(tmp_path / "p", 6, size=(100, 90)), "data.size=64", "--sheet", tmp_path / "s.png"
    )
    assert said.status == 0 and not said.err
    assert "6 pictures, captions from .txt files" in said.out and "nothing doubtful was found" in said.out
    assert "0.png: thing, number 0, round" in said.out and "buckets (width x height): 64x64: 6" in said.out
    assert Image.open(tmp_path / "s.png").width > 500


def test_json_is_all_that_is_printed(tunesmith: Command, tmp_path: Path) -> None:
    folder_of(tmp_path, 3, size=(100, 90))
    (tmp_path / "odd.txt").write_text("x")
    said = tunesmith("check", tmp_path, "--json")
    told = json.loads(said.out)
    assert said.status == 0 and told["rows"] == 3 and told["facts"]["captions"] == "files"
    assert {finding["kind"] for finding in told["findings"]} == {"orphan_caption", "small"}


def test_what_stops_a_run_is_listed_and_ends_with_status_2(tunesmith: Command, tmp_path: Path) -> None:
    folder_of(tmp_path, 3, size=(100, 90))
    (tmp_path / "0.png").write_bytes(b"")
    (tmp_path / "1.txt").unlink()
    said = tunesmith("check", tmp_path, "data.size=64")
    assert said.status == 2
    assert "0.png): the file is empty" in said.out and "1.png): no caption" in said.out
    assert said.err == f"tunesmith: error: {tmp_path}: 2 pictures would stop a run; each is named above\n"
    told = tunesmith("check", tmp_path, "data.size=64", "--json")
    assert told.status == 2 and json.loads(told.out)["rows"] == 3 and json.loads(told.out)["facts"] == {}


def test_a_prompt_of_the_objective_is_the_caption(tunesmith: Command, tmp_path: Path) -> None:
    drawn(0, (100, 90)).save(tmp_path / "IMG_1.png")
    assert "IMG_1.png: no caption" in tunesmith("check", tmp_path).err
    assert "IMG_1.png: a zwx cat" in tunesmith("check", tmp_path, "objective.prompt=a zwx cat").out


def test_misspelt_keys_and_a_sheet_of_texts(tunesmith: Command, tmp_path: Path, labelled: Path) -> None:
    folder_of(tmp_path / "p", 2)
    assert (
        "data.sise: not a field of pictures; did you mean `size`?"
        in tunesmith("check", tmp_path / "p", "data.sise=9").err
    )
    assert "data.crop: " in tunesmith("check", tmp_path / "p", "data.crop=middle").err
    assert "--sheet: only for a folder of pictures" in tunesmith("check", labelled, "--sheet", tmp_path / "s.png").err
