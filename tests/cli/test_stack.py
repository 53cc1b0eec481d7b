"""`--with`, `/use` and the shelf of a loaded model: many adapters over one base from the command line and Python."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.test_shelf import made
from tunesmith import UserError, load
from tunesmith.cli.stack import told_apart
from tunesmith.methods.lora import LoRA

FolderOf = Callable[[str], Path]


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of the same shapes that was trained on another base."""
    return made("llama", tmp_path_factory.mktemp("adapters") / "other=1", LoRA(rank=2), seed=3)


def test_words_are_told_apart() -> None:
    assert told_apart("a/b") == ("a/b", 1.0)
    assert told_apart("a=b/c=0.5") == ("a=b/c", 0.5)
    assert told_apart("a=b") == ("a=b", 1.0)


def test_a_base_takes_adapters_in_python(trained: Path, tiny_folder: FolderOf, other: Path) -> None:
    base, tuned = load(tiny_folder("llama"), precision="float32"), load(trained)
    known = base.add(trained)
    assert [one.id for one in tuned.adapters] == [known]
    with pytest.raises(UserError, match="trained on another base"):
        base.add(other)
    with pytest.warns(UserWarning, match="trained on another base"):
        second = base.add(other, insist=True)
    say = {"tokens": 12}
    plain = base.generate("hello", **say)
    assert base.generate("hello", adapter=known, **say) == tuned.generate("hello", **say) != plain
    assert base.generate("hello", **say) == plain == tuned.generate("hello", adapter="off", **say)
    sides = [known, second, "off", "on"]
    alone = [base.generate("hello", adapter=side, **say) for side in sides]
    assert list(base.generate_all(["hello"] * 4, adapter=sides, **say)) == alone
    base.use((known, 0.5), second)
    assert base.generate("hello", **say) == next(base.generate_all(["hello"], adapter=["on"], **say)) != alone[0]
    with pytest.raises(UserError, match="2 of them for 1 prompts"):
        list(base.generate_all(["hello"], adapter=["on", "off"]))
    with pytest.raises(UserError, match="no adapter here has the id `up`"):
        base.generate("hello", adapter="up")


def test_the_other_side_of_a_whole_model_is_not_mixed(trained_whole: Path) -> None:
    model = load(trained_whole)
    with pytest.raises(UserError, match="another model"):
        list(model.generate_all(["a", "b"], adapter=["on", "off"]))
    with pytest.raises(UserError, match="a full fine-tune is a whole model"):
        model.add(trained_whole)


def test_generate_with_more_adapters(tunesmith: Command, trained: Path, tiny_folder: FolderOf, other: Path) -> None:
    words = ("--prompt", "hello", "--max-tokens", "12")
    tuned = tunesmith("generate", trained, *words).out
    assert tunesmith("generate", trained, *words, "--with", f"{other}=0", "--insist").out == tuned
    assert tunesmith("generate", trained, *words, "--with", f"{other}=-1", "--insist").out != tuned
    more = tunesmith("generate", trained, *words, "--with", other, "--insist", "--json")
    assert (
        more.status == 0
        and "note: " in more.err
        and "trained on another base" in more.err
        and json.loads(more.out)["tuned"] != tuned
    )
    said = tunesmith("generate", trained, *words, "--with", other)
    assert said.status == 2 and "--insist" in said.err and said.err.count("\n") == 1
    twice = tunesmith("generate", trained, *words, "--with", trained)
    assert twice.status == 2 and "named twice" in twice.err


def test_chat_lists_and_switches(tunesmith: Command, trained: Path, other: Path) -> None:
    known = load(trained).adapters[0].id[:8]
    lines = ["/adapters", "/use zz", f"/use {known}=0.25", "hello", "/use", "/both"]
    said = tunesmith("chat", trained, "--with", other, "--insist", "--max-tokens", "4", stdin="\n".join(lines))
    assert said.status == 0
    assert said.out.count("in use at 1\n") == 2 and said.out.count("in use at 0.25\n") == 1
    assert "no adapter here has the id `zz`" in said.err
