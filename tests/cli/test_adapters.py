"""`tunesmith adapters`: what it prints, its JSON, and one line for what cannot be."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.test_shelf import made
from tunesmith.cli.adapters import COMMANDS
from tunesmith.combine import read
from tunesmith.methods.lora import LoRA
from tunesmith.methods.prefix import Prefix


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    first = made("llama", tmp_path / "all" / "a", LoRA(rank=2), seed=1)
    return first, made("llama", tmp_path / "all" / "b", LoRA(rank=2, ranks={"q_proj": 3}), seed=2)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_has_a_help(tunesmith: Command, name: str) -> None:
    said = tunesmith("adapters", name, "--help")
    assert said.status == 0 and f"tunesmith adapters {name}" in said.out and said.err == ""


def test_list(tunesmith: Command, two: tuple[Path, Path], tmp_path: Path, trained: Path) -> None:
    (made("llama", tmp_path / "all" / "broken", Prefix(tokens=2)) / "adapter_model.safetensors").write_bytes(b"x")
    said = tunesmith("adapters", "list", tmp_path)
    assert said.status == 0
    lines = said.out.splitlines()
    assert lines[0].split() == [read(two[0]).id[:12], "lora", "rank", "2", *lines[0].split()[4:6], "llama", str(two[0])]
    assert "ranks 2 to 3" in lines[1] and lines[2].startswith("damaged: ") and len(lines) == 3
    listed = json.loads(tunesmith("adapters", "list", tmp_path, "--json").out)
    assert [one["ranks"] for one in listed["adapters"]] == [[2], [2, 3]] and len(listed["damaged"]) == 1
    assert str(trained / "adapter") in tunesmith("adapters", "list", trained).out
    (tmp_path / "empty").mkdir()
    assert "no adapter here or below" in tunesmith("adapters", "list", tmp_path / "empty").out


def test_info(tunesmith: Command, two: tuple[Path, Path], trained: Path, tiny_folder: Callable[[str], Path]) -> None:
    said = tunesmith("adapters", "info", trained)
    assert said.status == 0 and "here, and the same" in said.out
    assert f"  {next(iter(read(trained / 'adapter').factors))}\n" in said.out
    assert "not here" in tunesmith("adapters", "info", two[0]).out
    found = json.loads(tunesmith("adapters", "info", trained, "--base", tiny_folder("gemma"), "--json").out)
    assert found["base_match"] == "different" and found["described"]["r"] == found["ranks"][0]
    nowhere = tunesmith("adapters", "info", trained, "--base", "nowhere")
    assert nowhere.status == 2 and nowhere.err.count("\n") == 1


def test_combine_and_diff(tunesmith: Command, two: tuple[Path, Path], tmp_path: Path) -> None:
    words = ("adapters", "combine", *two, tmp_path / "both", "--weights", "1,-0.5")
    said = tunesmith(*words, "--rank", "2")
    assert said.status == 0 and "rank 2" in said.out and "the rank cuts off" in said.out
    again = tunesmith(*words)
    assert again.status == 2 and "exists already" in again.err
    exact = json.loads(tunesmith(*words[:-3], tmp_path / "cat", "--how", "cat", "--json").out)
    assert exact["ranks"] == [4, 5] and exact["lost"] is None
    said = tunesmith("adapters", "diff", two[0], tmp_path / "both")
    assert said.status == 0 and "base: same" in said.out and said.out.splitlines()[-1].endswith("all of them")
    found = json.loads(tunesmith("adapters", "diff", two[0], two[0], "--json").out)
    assert found["equal"] and found["total"]["cosine"] == pytest.approx(1)
    for more, message in (
        (("--weights", "1,x"), "is not a list of numbers"),
        (("--how", "tis"), "did you mean `ties`"),
        (("--how", "ties"), "density"),
    ):
        found = tunesmith("adapters", "combine", *two, tmp_path / "new", *more)
        assert found.status == 2 and message in found.err and found.err.count("\n") == 1
    prefix = made("llama", tmp_path / "prefix", Prefix(tokens=2))
    assert "kinds do not combine" in tunesmith("adapters", "combine", two[0], prefix, tmp_path / "new").err
    assert "of different kinds" in tunesmith("adapters", "diff", two[0], prefix).out


def test_extract(tunesmith: Command, trained_whole: Path, trained: Path, tmp_path: Path) -> None:
    said = tunesmith("adapters", "extract", trained_whole, tmp_path / "out", "--rank", "4")
    assert said.status == 0 and "of all that changed is not in the adapter" in said.out
    assert read(tmp_path / "out").ranks == [4]
    alone = tunesmith("adapters", "extract", trained_whole / "model", tmp_path / "no", "--rank", "4")
    assert alone.status == 2 and "name it with --base" in alone.err
    assert "made an adapter already" in tunesmith("adapters", "extract", trained, tmp_path / "no", "--rank", "4").err
    assert "give a rank" in tunesmith("adapters", "extract", trained_whole, tmp_path / "no").err
