"""Each check of the proof passes for an honest run and fails for the fault that it is there for."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tests.export.oracle import HASH, ROW, stir
from tests.families import tiny, tiny_tokenizer
from tunesmith import proof as proving
from tunesmith.attached import attach_adapter
from tunesmith.core.errors import RunFailed
from tunesmith.export.adapter import WEIGHTS, write_adapter
from tunesmith.export.plain import write_model
from tunesmith.fresh import Rows, logits_of
from tunesmith.methods.full import Full
from tunesmith.methods.lora import LoRA
from tunesmith.models.load import Place, load_base
from tunesmith.proof import Proof, frozen_digest, frozen_unchanged, output_changed, trained_digest, trained_moved

FolderOf = Callable[[str], Path]
ROWS = ROW.tolist()
ALL = {"frozen_unchanged", "trained_moved", "output_changed", "file_equals_memory"}


def saved(network: nn.Module, method: LoRA, folder: Path) -> Path:
    stored, described = method.stored(network), method.described(network)
    return write_adapter(folder, stored, described, base_name="x", base_fingerprint=HASH)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_an_honest_adapter_passes(dtype: torch.dtype, tiny_folder: FolderOf, tmp_path: Path) -> None:
    place = Place("qwen2", tiny_folder("qwen2"))
    network = load_base(place, dtype=dtype, cache=tmp_path / "cache", say=lambda line: None).network
    method = LoRA(rank=4)
    method.attach(network)
    proof = Proof.begin(network, tiny_folder("qwen2"), ROWS)
    stir(network)
    checks = proof.end(network, saved(network, method, tmp_path / "a"), steps=5)
    assert {name: check.passed for name, check in checks.items()} == dict.fromkeys(ALL, True), checks
    assert "to the bit" in checks["file_equals_memory"].sentence


def test_an_honest_full_model_passes(tiny_folder: FolderOf, tmp_path: Path) -> None:
    network = tiny("gpt2")
    Full(targets=("h.1.*",)).attach(network)
    proof = Proof.begin(network, tiny_folder("gpt2"), ROWS)
    stir(network)
    folder = write_model(tmp_path / "m", network, tiny_tokenizer(), dtype=torch.float32)
    checks = proof.end(network, folder, steps=5)
    assert {name: check.passed for name, check in checks.items()} == dict.fromkeys(ALL, True), checks


@pytest.fixture
def attached() -> nn.Module:
    network = tiny("llama")
    LoRA(rank=4).attach(network)
    return network


def test_one_changed_bit_of_one_frozen_weight_or_buffer_is_found(attached: nn.Module) -> None:
    before = frozen_digest(attached)
    assert frozen_unchanged(before, attached).passed
    weights = {name: p for name, p in attached.named_parameters() if not p.requires_grad} | dict(
        attached.named_buffers()
    )
    for name, weight in weights.items():
        first = weight.data.view(-1)[0].clone()
        weight.data.view(-1)[0] = torch.nextafter(first, first + 1)
        check = frozen_unchanged(before, attached)
        assert not check.passed
        assert name in check.sentence
        weight.data.view(-1)[0] = first
    assert frozen_unchanged(before, attached).passed
    attached.model.layers[0].mlp.up_proj = nn.Identity()
    assert not frozen_unchanged(before, attached).passed


def test_a_tensor_that_did_not_move_is_found(attached: nn.Module) -> None:
    before = trained_digest(attached)
    assert not trained_moved(before, attached, steps=1).passed
    ups = [p for name, p in attached.named_parameters() if name.endswith(".up")]
    for up in ups:
        up.data += 1
    assert trained_moved(before, attached, steps=1).passed, "after one step A has had no gradient"
    check = trained_moved(before, attached, steps=2)
    assert not check.passed
    assert ".down" in check.sentence
    attached.requires_grad_(False)
    assert not trained_moved({}, attached, steps=2).passed


def test_an_output_that_is_the_bases_or_not_a_number_is_found(attached: nn.Module) -> None:
    before = logits_of(attached, ROWS)
    assert not output_changed(before, logits_of(attached, ROWS)).passed
    stir(attached)
    after = logits_of(attached, ROWS)
    assert output_changed(before, after).passed
    assert not output_changed(before, after * torch.nan).passed


def test_a_file_that_is_not_what_is_in_memory_is_found(
    attached: nn.Module, tiny_folder: FolderOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_process(model: Path, rows: Rows, *, adapter: Path, dtype: torch.dtype, device: str) -> Tensor:
        assert model == tiny_folder("llama")
        network = tiny("llama", dtype=dtype)
        attach_adapter(network, adapter)
        return logits_of(network, rows)

    monkeypatch.setattr(proving, "fresh_logits", in_process)
    stir(attached)
    folder = saved(attached, LoRA(rank=4), tmp_path / "a")
    now = logits_of(attached, ROWS)

    def check() -> proving.Check:
        return proving.file_equals_memory(attached, now, folder, base=tiny_folder("llama"), probe=ROWS)

    assert check().passed
    tensors = load_file(folder / WEIGHTS)
    save_file({name: t.half().float() for name, t in tensors.items()}, folder / WEIGHTS)
    assert not check().passed, "half precision is not what was trained"
    monkeypatch.setattr(proving, "fresh_logits", lambda *a, **k: now * torch.nan)
    assert not check().passed

    def fails(*args: object, **more: object) -> Tensor:
        raise RunFailed("a fresh process cannot read it: damaged")

    monkeypatch.setattr(proving, "fresh_logits", fails)
    assert check() == proving.Check(False, "a fresh process cannot read it: damaged")
