"""A run over a packed base, from the recipe to a merged model: proven, read back to the bit, resumed, used."""

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.cli.conftest import Command
from tests.cli.rows import write_labelled
from tests.export.oracle import ROW, far, logits
from tests.families import tiny
from tunesmith import Recipe, UserError, load, run
from tunesmith.attached import attach_adapter
from tunesmith.core.errors import Interrupted
from tunesmith.core.files import sha256
from tunesmith.core.layers import Quantization
from tunesmith.export.adapter import FACTS, base_quantize
from tunesmith.fresh import fresh_logits
from tunesmith.methods.lora import LoRA
from tunesmith.models.quantized import QuantizedLinear, quantize
from tunesmith.plan import plan
from tunesmith.report.document import RunResult
from tunesmith.show import Show
from tunesmith.train.loop import _Course

FolderOf = Callable[[str], Path]
SMALL: dict[str, Any] = {
    "method": {"kind": "qlora", "rank": 4},
    "train": {"max_steps": 3, "threads": 1, "precision": "float32", "learning_rate": 0.01, "optimizer": "adamw8bit"},
    "evaluate": {"answers": 1, "answer_tokens": 4, "score_answers": 0, "general": False},
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_labelled(tmp_path_factory.mktemp("rows") / "rows.jsonl", random.Random(0), 40))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_folder: FolderOf, rows: str) -> Path:
    """A finished run. Read it only."""
    folder = tmp_path_factory.mktemp("runs") / "qlora"
    run(Recipe(base=str(tiny_folder("llama")), data=rows, output=str(folder), **SMALL), Show(lambda line: None))
    return folder


def packed_layers(network: Any) -> int:
    return sum(isinstance(module, QuantizedLinear) for module in network.modules())


def test_the_names_and_the_pairs_of_a_recipe() -> None:
    recipe = Recipe(data="x.jsonl", method="qlora")
    assert (recipe.method, recipe.base_quantize) == (LoRA(), "nf4")
    assert Recipe(data="x.jsonl", method="qlora", base_quantize="int8").base_quantize == "int8"
    assert Recipe(data="x.jsonl").base_quantize is None
    assert Recipe(data="x.jsonl").fingerprint != recipe.fingerprint
    with pytest.raises(UserError, match=r"^base_quantize: nf4 and method full cannot be together.*method=qlora$"):
        Recipe(data="x.jsonl", method="full", base_quantize="nf4")
    with pytest.raises(UserError, match=r"^base_quantize: input should be 'nf4' or 'int8', not 'fp4'$"):
        Recipe(data="x.jsonl", base_quantize="fp4")
    with pytest.raises(UserError, match=r"paged_adamw8bit needs a GPU") as refused:
        run(Recipe(data="x.jsonl", train={"optimizer": "paged_adamw8bit"}), Show(lambda line: None))
    assert torch.cuda.is_available() or "\n" not in str(refused.value)


def test_a_run_is_proven_to_the_bit(trained: Path) -> None:
    result = RunResult.read(trained)
    assert result.status == "ok" and len(result.proof) == 4 and all(result.proof.values())
    assert any("same logits to the bit" in note for note in result.notes)
    assert any(note.startswith("base in nf4: 14 linear layers take 0.0 MB instead of 0.1 MB") for note in result.notes)
    assert result.parameters is not None
    dense = sum(p.numel() for p in tiny("llama").parameters())
    assert result.parameters.total == dense + result.parameters.trainable
    assert base_quantize(trained / "adapter") == "nf4"
    assert "over that base in nf4" in (trained / "adapter" / "README.md").read_text()


@pytest.mark.parametrize(("kind", "family"), [("nf4", "gpt2"), ("int8", "mixtral")])
def test_in_bfloat16_and_in_other_families(
    kind: Quantization, family: str, tiny_folder: FolderOf, rows: str, tmp_path: Path
) -> None:
    values = SMALL | {"base_quantize": kind, "evaluate": {"enabled": False}}
    values["train"] = values["train"] | {"precision": "bfloat16", "max_steps": 2, "optimizer": "adamw"}
    recipe = Recipe(base=str(tiny_folder(family)), data=rows, output=str(tmp_path / "a"), **values)
    said: list[str] = []
    result = run(recipe, Show(said.append))
    assert result.status == "ok" and all(result.proof.values())
    line = next(line for line in said if line.startswith(f"base in {kind}"))
    assert ("experts stay dense" in line) == (family == "mixtral")


def test_an_interrupted_run_goes_on_to_the_same_bytes(
    trained: Path, tiny_folder: FolderOf, rows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(base=str(tiny_folder("llama")), data=rows, output=str(tmp_path / "a"), **SMALL)

    evaluate = _Course._evaluate

    def stop(course: _Course, metrics: Any) -> bool:
        if course.done.step == 2:
            raise KeyboardInterrupt
        return evaluate(course, metrics)

    with monkeypatch.context() as patch:
        patch.setattr(_Course, "_evaluate", stop)
        with pytest.raises(Interrupted, match="same command"):
            run(recipe, Show(lambda line: None))
    show = Show(lambda line: None)
    assert run(recipe, show).status == "ok"
    assert any(line.startswith("step 1: going on") for line in show.notes)
    weights = "adapter/adapter_model.safetensors"
    assert sha256(tmp_path / "a" / weights) == sha256(trained / weights)


def test_whatever_opens_base_and_adapter_packs_the_base_in_the_same_way(
    trained: Path, tiny_folder: FolderOf, tunesmith: Command
) -> None:
    wanted = tiny("llama")
    quantize(wanted, "nf4")
    attach_adapter(wanted, trained / "adapter")
    for place in (trained, trained / "adapter"):
        opened = load(place, precision="float32")
        assert packed_layers(opened.network) == 14
        assert torch.equal(logits(opened.network), logits(wanted))
        assert isinstance(opened.generate("a b c", tokens=3, adapter="off"), str)
    fresh = fresh_logits(tiny_folder("llama"), ROW.tolist(), adapter=trained / "adapter", dtype=torch.float32)
    assert far(fresh, logits(wanted)) < 1e-6
    before = json.loads((trained / "evaluation.json").read_text())
    assert tunesmith("evaluate", trained).status == 0
    assert json.loads((trained / "evaluation.json").read_text())["after"] == before["after"]
    assert tunesmith("generate", trained, "--prompt", "a b c", "--max-tokens", 3, "--adapter", "both").status == 0


def test_the_plan_rehearses_the_packed_base(tiny_folder: FolderOf, rows: str, tmp_path: Path) -> None:
    said: list[str] = []
    recipe = Recipe(base=str(tiny_folder("llama")), data=rows, output=str(tmp_path / "a"), **SMALL)
    assert plan(recipe, Show(said.append)).seconds > 0
    assert any(line.startswith("base in nf4") for line in said)


def test_a_merge_goes_into_the_original_weights_and_says_what_was_lost(
    trained: Path, tmp_path: Path, tunesmith: Command
) -> None:
    said = tunesmith("merge", trained, tmp_path / "merged")
    assert said.status == 0, said.err
    lost = re.search(
        r"over the base in nf4 and is merged into its original weights.*error \(logits within (\S+),", said.out
    )
    assert lost is not None
    dense, packed = tiny("llama"), tiny("llama")
    quantize(packed, "nf4")
    for network in (dense, packed):
        attach_adapter(network, trained / "adapter")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32).eval()
    assert far(logits(merged), logits(dense)) < 1e-5
    assert far(logits(packed), logits(dense)) > 1e-2 and float(lost[1]) > 1e-2


def test_an_adapter_packed_in_a_way_that_is_not_known_is_refused(trained: Path, tmp_path: Path) -> None:
    (tmp_path / FACTS).write_text(json.dumps({"base": {"quantize": "nf3"}}))
    with pytest.raises(UserError, match=r"`base\.quantize` is 'nf3'; this version knows nf4, int8"):
        base_quantize(tmp_path)
    assert base_quantize(tmp_path / "nothing") is None
