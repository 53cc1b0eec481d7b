"""Which base starts best: in bits per byte whatever the tokenizer, and which cannot learn the rows at all."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.rows import write_rows
from tests.families import tiny_scored, tiny_tokenizer
from tunesmith import advice
from tunesmith.advice import Standing, advise, difference
from tunesmith.cli import main
from tunesmith.core.errors import UserError

FolderOf = Callable[[str], Path]


def quiet(line: str) -> None:
    pass


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_rows(
        tmp_path / "rows.jsonl", ({"prompt": f"number {i}?", "completion": f"it is {i} \u00e9"} for i in range(60))
    )


@pytest.fixture
def short(tiny_folder: FolderOf, tmp_path: Path) -> Path:
    """A base that reads ten tokens."""
    folder = tmp_path / "short"
    shutil.copytree(tiny_folder("llama"), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 10}))
    return folder


def test_bases_side_by_side_and_those_that_cannot(
    data: Path, tiny_folder: FolderOf, short: Path, tmp_path: Path
) -> None:
    encoder = tmp_path / "encoder"
    tiny_scored("bert").save_pretrained(encoder)
    tiny_tokenizer().save_pretrained(encoder)
    plain = tmp_path / "plain"
    shutil.copytree(tiny_folder("gpt2"), plain)
    (plain / "chat_template.jinja").unlink(missing_ok=True)
    kept = json.loads((plain / "tokenizer_config.json").read_text())
    (plain / "tokenizer_config.json").write_text(json.dumps({k: v for k, v in kept.items() if k != "chat_template"}))
    names = [str(tiny_folder("llama")), str(plain), str(encoder), str(short)]
    found = advise(str(data), names, quiet)
    known = [one for one in found.standings if one.cannot is None]
    assert [one.name for one in known] == sorted(names[:2], key=[one.name for one in known].index)
    assert known[0].bits_per_byte <= known[1].bits_per_byte
    assert known[0].bytes == known[1].bytes and set(known[0].bits) == set(known[1].bits)
    # A random model over 320 tokens, most of which are bytes, knows hardly more than that.
    assert 5 < known[0].bits_per_byte < 14
    assert "no chat template" in next(one for one in known if one.name == str(plain)).notes[0]
    refused = {one.name: one.cannot or "" for one in found.standings if one.cannot is not None}
    assert "not a language model that writes text" in refused[str(encoder)]
    assert "tokens where 10 fit" in refused[str(short)]
    assert found.sentence.startswith(f"{known[0].name} starts best") and "bits per byte" in found.sentence
    assert found.document()["bases"][-1]["cannot"]


def test_bits_are_of_the_answers_alone(data: Path, tiny_folder: FolderOf) -> None:
    found = advise(str(data), [str(tiny_folder("llama"))], quiet)
    [one] = found.standings
    lengths = {len(f"it is {i} \u00e9".encode()) for i in range(60)}
    assert {size for _, size in one.bits.values()} <= lengths
    assert "the only base here that can" in found.sentence


def test_when_none_can_and_when_the_rows_are_wrong(
    data: Path, short: Path, tmp_path: Path, tiny_folder: FolderOf
) -> None:
    with pytest.raises(UserError, match="none of 1 bases can learn these rows"):
        advise(str(data), [str(short)], quiet)
    with pytest.raises(UserError, match=r"data\.train: no such file"):
        advise(str(tmp_path / "none.jsonl"), [str(tiny_folder("llama"))], quiet)


def test_labels_come_before_likelihood_and_rows_are_paired() -> None:
    bits = {row: (8.0 * math.log2(row + 2), 4) for row in range(40)}
    one = Standing("one", bits=bits, right={row: row % 2 == 0 for row in range(40)})
    other = Standing("other", bits={**bits, 99: (1.0, 4)}, right=dict.fromkeys(range(40), True))
    assert min((one, other), key=lambda s: s.order) is other
    found = difference(one, other)
    assert found.mean == 0.5 and found.verdict == "better" and found.n == 40
    plain = difference(Standing("one", bits=bits), Standing("other", bits=other.bits))
    assert plain.mean == 0 and plain.n == 40, "a row that one has not read counts for neither"


def test_the_command_prints_a_table_and_json(
    data: Path, tiny_folder: FolderOf, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(advice, "on_disk", lambda: [])
    words: list[Any] = ["bases", "--advise", str(data), "--base", str(tiny_folder("llama"))]
    assert main(words) == 0
    assert "bits/byte" in capsys.readouterr().out
    assert main([*words, "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"bases", "advice"}
    assert main(words[:3]) == 2
    assert "no base is on this machine" in capsys.readouterr().err
