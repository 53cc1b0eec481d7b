"""Bad input: one line that names the file, row or key, exit status 2, and nothing left behind."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.cli.conftest import Command, Said
from tests.cli.rows import write_rows
from tests.families import tiny, tiny_tokenizer
from tests.gguf_file import write_gguf
from tunesmith.core.files import RunLock

GOOD = [{"prompt": f"question {i} of {i * 7919}", "completion": f"answer {i}"} for i in range(20)]
TALK = {"messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "good day"}]}


class Bench:
    """A place where commands fail: an empty folder for the run, and good rows beside it."""

    def __init__(self, tunesmith: Command, base: Path, here: Path) -> None:
        self._tunesmith, self.base, self.here = tunesmith, base, here
        self.output = here / "run"
        self.rows = write_rows(here / "good.jsonl", GOOD)

    def file(self, name: str, content: str | bytes) -> Path:
        path = self.here / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def train(self, *words: object, data: object = None, base: object = None) -> Said:
        return self._tunesmith(
            "train", "--base", base or self.base, "--data", data or self.rows, "--output", self.output,
            "train.max_steps=1", "train.precision=float32", *words,
        )  # fmt: skip


@pytest.fixture
def bench(tunesmith: Command, tiny_folder: Callable[[str], Path], tmp_path: Path) -> Bench:
    return Bench(tunesmith, tiny_folder("llama"), tmp_path)


def refused(bench: Bench, said: Said, *words: str) -> None:
    """One line that holds `words`, status 2, no result on stdout, no folder."""
    assert said.status == 2, said
    assert said.err.startswith("tunesmith: error: ") and said.err.count("\n") == 1, said.err
    for word in words:
        assert word in said.err, said.err
    assert not bench.output.exists()


def lines(*rows: object) -> str:
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


ROWS: dict[str, tuple[str, str | bytes, tuple[str, ...]]] = {
    "empty": ("e.jsonl", "", ("e.jsonl", "empty")),
    "spaces only": ("e.jsonl", " \n\n", ("e.jsonl", "empty")),
    "wrong encoding": ("l.jsonl", lines(*GOOD[:2]).encode() + b'{"prompt": "caf\xe9", "completion": "x"}\n',
                       ("l.jsonl, line 3", "0xe9", "UTF-8")),
    "UTF-16": ("l.jsonl", lines(*GOOD).encode("utf-16"), ("UTF-16", "save it as UTF-8")),
    "broken JSON": ("b.jsonl", lines(*GOOD[:4], '{"prompt": "x", "completion": '), ("b.jsonl, line 5", "broken JSON")),
    "missing field": ("m.jsonl", lines(*GOOD[:3], {"prompt": "x", "completon": "y"}), ("m.jsonl, row 4", "completion")),
    "no known fields": ("u.jsonl", lines({"a": "x", "b": "y"}), ("u.jsonl", "columns")),
    "unknown role": ("r.jsonl", lines(TALK, {"messages": [{"role": "usr", "content": "x"}, TALK["messages"][1]]}),
                     ("r.jsonl, row 2", "usr", "`user`")),
    "empty conversation": ("c.jsonl", lines(TALK, {"messages": []}), ("c.jsonl, row 2", "empty")),
    "empty message": ("c.jsonl", lines({"messages": [TALK["messages"][0], {"role": "assistant", "content": " "}]}),
                      ("c.jsonl, row 1", "empty")),
    "duplicate key": ("d.jsonl", lines(GOOD[0], '{"prompt": "x", "prompt": "y", "completion": "z"}'),
                      ("d.jsonl, line 2", '"prompt"', "twice")),
    "all duplicates": ("a.jsonl", lines(*[GOOD[0]] * 10), ("a.jsonl", "same")),
    "not a list": ("s.json", '"text"', ("s.json", "list of objects")),
    "unknown kind of file": ("x.docx", "PK", ("x.docx", ".docx", ".jsonl")),
    "not Parquet": ("p.parquet", b"PAR1 and then nothing", ("p.parquet",)),
    "ragged CSV": ("t.csv", "prompt,completion\na,b\nc,d,e\n", ("t.csv", "3")),
    "too long": ("long.jsonl", lines(*GOOD, {"prompt": "word " * 300, "completion": "x"}),
                 ("long.jsonl, row 21", "tokens", "data.too_long")),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_rows(bench: Bench, name: str) -> None:
    file, content, words = ROWS[name]
    path = bench.file(file, content)
    refused(bench, bench.train(data=path), *words)
    assert bench._tunesmith("check", path, "--base", bench.base).status == 2


def test_a_missing_file_with_its_near_name(bench: Bench) -> None:
    refused(bench, bench.train(data=bench.here / "god.jsonl"), "data.train", "god.jsonl", "`good.jsonl`")


def test_judged_by_what_was_learned(bench: Bench) -> None:
    copy = shutil.copy(bench.rows, bench.here / "copy.jsonl")
    refused(bench, bench.train(f"data.validation={copy}"), "copy.jsonl", "data.validation", "same rows as data.train")


KEYS: dict[str, tuple[str, tuple[str, ...]]] = {
    "misspelt": ("method.rnk=8", ("method.rnk", "did you mean `rank`")),
    "misspelt section": ("trian.epochs=1", ("trian", "`train`")),
    "out of range": ("method.rank=0", ("method.rank", "whole number from 1 to 4096", "0")),
    "not a number": ("train.learning_rate=fast", ("train.learning_rate", "fast")),
    "unknown choice": ("train.schedule=cosin", ("train.schedule", "cosine", "cosin")),
    "unknown method": ("method.kind=lra", ("method.kind", "did you mean `lora`", "lra")),
    "parts that do not add up": ("data.split=[0.5,0.1,0.1]", ("data.split", "add up to 1")),
    "not YAML": ("method.targets=[q_proj", ("method.targets", "[q_proj")),
    "no target": ("method.targets=[q_prj]", ("method.targets", "`q_prj`", "`q_proj`", "k_proj")),
    "a target that is no linear layer": ("method.targets=[norm]", ("method.targets", "no layer that can be adapted")),
    "longer than the model reads": ("data.max_length=100000", ("data.max_length", "256")),
}


@pytest.mark.parametrize("name", KEYS)
def test_recipe_keys(bench: Bench, name: str) -> None:
    override, words = KEYS[name]
    said = bench.train(override)
    refused(bench, Said(said.status, "", said.err.splitlines(keepends=True)[-1]), *words)


RECIPES: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    "broken": ("base: [x\n", ("r.yaml", "not valid YAML")),
    "a list": ("- base\n", ("r.yaml", "keys and values")),
    "a key twice": ("data: x\ndata: y\n", ("r.yaml", "`data` is given twice")),
    "a reference": ("a: &a [x]\ndata: *a\n", ("r.yaml", "references")),
    "an object of Python": ("data: !!python/object/apply:os.system ['true']\n", ("r.yaml", "not valid YAML")),
    "wrong encoding": (b"data: caf\xe9\n", ("r.yaml", "UTF-8")),
    "no data": ("base: x\n", ("r.yaml", "`data` is missing")),
    "misspelt": ("data: x\nmethod: {kind: lora, alpa: 3}\n", ("r.yaml", "method.alpa", "`alpha`")),
}


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_files(bench: Bench, name: str) -> None:
    content, words = RECIPES[name]
    said = bench._tunesmith("train", bench.file("r.yaml", content), "--output", bench.output)
    refused(bench, said, *words)


def test_a_missing_recipe(bench: Bench) -> None:
    refused(bench, bench._tunesmith("train", bench.here / "none.yaml"), "none.yaml", "no such recipe file")


def _copy(bench: Bench) -> Path:
    return shutil.copytree(bench.base, bench.here / "base")


def test_a_missing_base(bench: Bench) -> None:
    refused(bench, bench.train(base="smolm2-135m"), "base", "`smollm2-135m`")
    refused(bench, bench.train(base=bench.here / "nothing"), "base", "nothing")


def test_a_hub_id_without_the_users_word(bench: Bench) -> None:
    refused(bench, bench.train(base="someone/some-model"), "someone/some-model", "tunesmith bases --get")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, ("not a language model",)),
        ({"model_type": "vit"}, ("not a language model",)),
        ({"model_type": "lama"}, ("`lama`", "`llama`")),
    ],
)
def test_a_base_of_another_kind(bench: Bench, config: dict[str, object], words: tuple[str, ...]) -> None:
    base = _copy(bench)
    (base / "config.json").write_text(json.dumps(config))
    refused(bench, bench.train(base=base), "config.json", *words)


def test_a_base_without_a_chat_template(bench: Bench) -> None:
    base = _copy(bench)
    (base / "chat_template.jinja").unlink()
    tiny_tokenizer(chat=False).save_pretrained(base)
    talk = {"messages": [*TALK["messages"], *TALK["messages"]]}
    data = bench.file("talks.jsonl", lines(*[talk | {"id": i} for i in range(20)]))
    refused(bench, bench.train(base=base, data=data), "talks.jsonl, row ", "chat template", "instruction-tuned")


def test_a_base_with_not_a_number(bench: Bench) -> None:
    base = _copy(bench)
    weights = load_file(base / "model.safetensors")
    weights["model.norm.weight"][3] = torch.nan
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    said = bench.train(base=base)
    refused(bench, said, "model.norm.weight")


def test_truncated_weights(bench: Bench) -> None:
    base = _copy(bench)
    whole = (base / "model.safetensors").read_bytes()
    for size in (0, 5, 200, len(whole) // 2, len(whole) - 1):
        (base / "model.safetensors").write_bytes(whole[:size])
        refused(bench, bench.train(base=base), "model.safetensors")


def test_a_truncated_gguf_file(bench: Bench) -> None:
    whole = write_gguf(bench.here / "tiny.gguf", tiny("llama"), tiny_tokenizer()).read_bytes()
    for size in (0, 3, 100, len(whole) // 2, len(whole) - 1):
        refused(bench, bench.train(base=bench.file("cut.gguf", whole[:size])), "cut.gguf")


def test_an_output_that_is_a_file(bench: Bench) -> None:
    bench.output = bench.file("taken", "mine") / "run"
    refused(bench, bench.train(), "taken", "cannot be written")
    assert (bench.here / "taken").read_text() == "mine"


def test_an_output_with_things_of_others(bench: Bench) -> None:
    bench.output.mkdir()
    (bench.output / "thesis.txt").write_text("years of work")
    said = bench.train()
    assert said.status == 2 and "thesis.txt" in said.err
    assert [path.name for path in bench.output.iterdir() if path.name != "run.lock"] == ["thesis.txt"]


def test_an_output_in_use(bench: Bench) -> None:
    with RunLock(bench.output):
        said = bench.train()
    assert said.status == 2 and "in use by another run" in said.err


def test_a_mistake_does_not_bar_the_second_attempt(bench: Bench) -> None:
    bench.output.mkdir()  # made by the user: it stays
    assert bench.train("method.targets=[q_prj]").status == 2
    assert [path.name for path in bench.output.iterdir()] in ([], ["run.lock"])
    assert bench.train("evaluate.enabled=false").status == 0
