"""A merge says it is done only when another process reads the merged model and hears what was trained."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from tests.export.oracle import far, logits, ours
from tests.families import tiny
from tunesmith import merge as merging
from tunesmith.core.errors import RunFailed, UserError
from tunesmith.core.files import sha256
from tunesmith.fresh import fresh_logits
from tunesmith.merge import Drift, acceptable, drift, merge
from tunesmith.methods.lora import LoRA, LoRALayer
from tunesmith.models.load import Base, Place, load_base

FolderOf = Callable[[str], Path]


@pytest.fixture
def opened(tiny_folder: FolderOf, tmp_path: Path) -> Callable[[str], Callable[[torch.dtype], Base]]:
    def opener(family: str) -> Callable[[torch.dtype], Base]:
        place = Place(family, tiny_folder(family))
        return lambda dtype: load_base(place, dtype=dtype, cache=tmp_path / "cache", say=lambda line: None)

    return opener


def adapter_of(family: str, folder: Path) -> Path:
    """An adapter that knows no fingerprint, as PEFT writes them."""
    _, path = ours(
        family, folder, LoRA(rank=4, ranks={"lm_head": 2}, targets=("lm_head", "*.layers.*.?_proj", "*_proj"))
    )
    (path / "tunesmith.json").unlink()
    return path


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_merged_model_says_what_was_trained_and_the_base_is_untouched(
    dtype: torch.dtype, opened: Callable, tiny_folder: FolderOf, tmp_path: Path
) -> None:
    adapter = adapter_of("llama-tied", tmp_path / "a")
    before = {path.name: sha256(path) for path in tiny_folder("llama-tied").iterdir()}
    merged = merge(opened("llama-tied"), adapter, tmp_path / "out", dtype=dtype)
    network = tiny("llama-tied")
    merging.attach_adapter(network, adapter)
    again = AutoModelForCausalLM.from_pretrained(merged.folder, dtype=torch.float32).eval()
    assert far(logits(again), logits(network.eval())) < (1e-5 if dtype == torch.float32 else 0.05)
    assert {p.dtype for p in AutoModelForCausalLM.from_pretrained(merged.folder, dtype="auto").parameters()} == {dtype}
    assert {path.name: sha256(path) for path in tiny_folder("llama-tied").iterdir()} == before
    assert merged.bytes == sum(p.stat().st_size for p in (tmp_path / "out").iterdir())


def test_a_merged_model_that_says_something_else_is_removed(
    opened: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = adapter_of("llama", tmp_path / "a")
    right = LoRALayer.merged

    def forgets_its_scale(layer: LoRALayer) -> nn.Module:
        layer.scale *= 1.2
        return right(layer)

    monkeypatch.setattr(LoRALayer, "merged", forgets_its_scale)
    monkeypatch.setattr(merging, "fresh_logits", in_process)
    for dtype in (torch.float32, torch.bfloat16):
        with pytest.raises(RunFailed, match="removed, the merged model differs"):
            merge(opened("llama"), adapter, tmp_path / "out", dtype=dtype)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "cache"]


def in_process(model: Path, rows: merging.Rows, *, dtype: torch.dtype) -> torch.Tensor:
    """As the fresh process, without the seconds that one needs to start."""
    return merging.logits_of(AutoModelForCausalLM.from_pretrained(model, dtype=dtype).eval(), rows)


def test_what_cannot_be_merged_is_refused_before_anything_is_written(opened: Callable, tmp_path: Path) -> None:
    adapter = adapter_of("llama", tmp_path / "a")
    base = opened("llama")(torch.float32)
    with pytest.raises(UserError, match="lies inside the base"):
        merge(lambda dtype: base, adapter, base.folder / "merged")
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        merge(opened("llama"), adapter, tmp_path / "taken")
    with pytest.raises(UserError, match="in the file without a place in the model"):
        merge(opened("gpt_neox"), adapter, tmp_path / "out")
    with pytest.raises(UserError, match="trained on another base"):
        merge(opened("llama"), ours("llama", tmp_path / "b", LoRA(rank=2))[1], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_drift_knows_equal_from_rounded_from_wrong() -> None:
    a = torch.randn(400, 50, generator=torch.Generator().manual_seed(0)) * 4
    assert drift(a, a) == Drift(0.0, 0.0, 1.0)
    assert acceptable(drift(a, a * (1 + 1e-6)), torch.float32)
    assert not acceptable(drift(a, a * (1 + 1e-4)), torch.float32)
    assert acceptable(drift(a, a.bfloat16().float()), torch.bfloat16)
    assert not acceptable(drift(a, a + 0.3 * torch.randn_like(a)), torch.bfloat16)
    assert not acceptable(drift(a, a * torch.nan), torch.float32)
    assert not acceptable(drift(a, a * torch.nan), torch.bfloat16)
    assert not acceptable(drift(a, a[:5]), torch.float32)


def test_a_fresh_process_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="no such folder") as caught:
        fresh_logits(tmp_path / "nothing", [[1, 2]], dtype=torch.float32)
    assert "\n" not in str(caught.value)
