"""Adapters that no reader should get are not written; files that a stranger sent are read within bounds or refused."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.export.oracle import HASH, ours
from tests.families import tiny
from tunesmith.attached import attach_adapter
from tunesmith.core.errors import RunFailed, UserError
from tunesmith.export.adapter import FACTS, PREFIX, WEIGHTS, base_fingerprint, read_adapter, write_adapter
from tunesmith.methods.lora import LoRA

METHOD = LoRA(rank=2, targets=("q_proj",))
Q = "model.layers.0.self_attn.q_proj"


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return ours("llama", tmp_path / "adapter", METHOD)[1]


def write(folder: Path, stored: dict[str, Tensor]) -> Path:
    described = {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"]}
    return write_adapter(folder, stored, described, base_name="x", base_fingerprint=HASH)


def pair(rank: int = 2) -> dict[str, Tensor]:
    return {f"{Q}.lora_A.weight": torch.ones(rank, 4), f"{Q}.lora_B.weight": torch.ones(4, rank)}


BAD_TO_WRITE: dict[str, tuple[Callable[[], dict[str, Tensor]], str]] = {
    "nothing": (dict, "no tensors"),
    "not a number": (lambda: pair() | {f"{Q}.lora_A.weight": torch.full((2, 4), torch.nan)}, "8 values that are NaN"),
    "untrained": (lambda: pair() | {f"{Q}.lora_B.weight": torch.zeros(4, 2)}, "every B is zero"),
    "half a pair": (lambda: {f"{Q}.lora_A.weight": torch.ones(2, 4)}, "lora_B.weight` is missing"),
    "empty shards": (lambda: pair() | {f"{Q}.lora_A.weight": torch.ones(0)}, "is empty"),
    "another rank": (lambda: pair(3), "has rank 3, but `r` is 2"),
    "another name": (lambda: pair() | {"lm_head.weight": torch.ones(4, 4)}, "not the name of a LoRA tensor"),
}


@pytest.mark.parametrize("what", BAD_TO_WRITE)
def test_a_bad_adapter_is_not_written(what: str, tmp_path: Path) -> None:
    make, message = BAD_TO_WRITE[what]
    with pytest.raises(RunFailed, match=message):
        write(tmp_path / "a", make())
    assert not list(tmp_path.iterdir()), "nothing must be left behind"


def test_the_same_input_gives_the_same_bytes_and_replaces_only_our_own(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", pair())
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {path.name: path.read_bytes() for path in write(folder, pair()).iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    (folder / FACTS).unlink()
    with pytest.raises(UserError, match="exists already"):
        write(folder, pair())
    assert (folder / WEIGHTS).read_bytes() == before[WEIGHTS]


def test_the_card_and_the_facts_name_the_base(adapter: Path) -> None:
    card = (adapter / "README.md").read_text()
    assert yaml.safe_load(card.split("---")[1])["base_model"] == "llama"
    assert json.loads((adapter / FACTS).read_text())["base"] == {"name": "llama", "fingerprint": HASH}
    assert base_fingerprint(adapter) == HASH


def test_an_adapter_of_another_base_is_refused(adapter: Path) -> None:
    attach_adapter(tiny("llama"), adapter, fingerprint=HASH)
    with pytest.raises(UserError, match="another base"):
        attach_adapter(tiny("llama"), adapter, fingerprint="1" * 64)
    (adapter / FACTS).unlink()
    attach_adapter(tiny("llama"), adapter, fingerprint="1" * 64)  # PEFT's own files know no fingerprint
    network = tiny("gpt2")
    with pytest.raises(UserError, match="matches no layer of this base"):
        attach_adapter(network, adapter)
    assert not any(hasattr(module, "active") for module in network.modules())


def config(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def text(content: str | bytes) -> Callable[[Path], None]:
    raw = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / "adapter_config.json").write_bytes(raw) and None


def tensors(change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> Callable[[Path], None]:
    return lambda folder: save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS)


def raw(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda folder: (folder / WEIGHTS).write_bytes(change((folder / WEIGHTS).read_bytes())) and None


def as_pickle(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "adapter_model.bin")


A = f"{PREFIX}{Q}.lora_A.weight"
HOSTILE: dict[str, tuple[Callable[[Path], None], str]] = {
    "no configuration": (lambda f: (f / "adapter_config.json").unlink(), "adapter_config.json: missing"),
    "no tensors": (lambda f: (f / WEIGHTS).unlink(), "safetensors: missing; get"),
    "a pickle": (as_pickle, "adapter_model.bin can run code"),
    "broken json": (text('{"peft_type": '), "broken JSON"),
    "not json at all": (text(b"\xff\xfe\x00"), "broken JSON"),
    "a list": (text("[]"), "a JSON object is expected"),
    "deep nesting": (text("[" * 100_000), "broken JSON"),
    "a doubled key": (text('{"r": 2, "r": 3}'), "stands there twice"),
    "huge": (text(" " * (2 << 20)), "more than 1048576 are not read"),
    "another method": (config(peft_type="XLORA"), "`peft_type` is 'XLORA'"),
    "no method": (config(peft_type=None), "`peft_type` is 'None'"),
    "a rank of a billion": (config(r=10**9), "`r`: .*less than or equal to 4096"),
    "a negative rank": (config(r=-1), "`r`: "),
    "a rank of text": (config(r="2"), "`r`: "),
    "alpha not a number": (text('{"peft_type": "LORA", "lora_alpha": NaN}'), "broken JSON"),
    "alpha of nothing": (config(lora_alpha=0), "`lora_alpha`: "),
    "a pattern that runs for years": (config(target_modules="(a+)+$"), "too many repeats"),
    "a pattern of many stars": (config(target_modules=".*a" * 9), "too many repeats"),
    "a broken pattern": (config(target_modules="(q_proj"), "broken pattern"),
    "a huge rank by pattern": (config(rank_pattern={"q_proj": 10**7}), "`rank_pattern.q_proj`: "),
    "no targets": (config(target_modules=None), "`target_modules` is missing"),
    "targets not there": (config(target_modules=["q_porj"]), "matches no layer of this base; did you mean `q_proj`"),
    "an unknown key": (config(use_dorra=True), "`use_dorra` is not a key .*did you mean `use_dora`"),
    "another rank than the tensors": (config(r=3), "has rank 2, but `r` is 3"),
    "fewer targets than tensors": (config(target_modules=[Q]), "in the file without a place"),
    "more targets than tensors": (config(target_modules=["q_proj", "k_proj"]), "missing from the file"),
    "a truncated file": (raw(lambda b: b[:-7]), "not a whole safetensors file"),
    "an empty file": (raw(lambda b: b""), "not a whole safetensors file"),
    "a header beyond the file": (raw(lambda b: struct.pack("<Q", 1 << 40) + b[8:]), "not a whole safetensors file"),
    "a pickle in disguise": (raw(lambda b: b"\x80\x04\x95" + b), "not a whole safetensors file"),
    "no tensor inside": (tensors(lambda t: {}), "there are no tensors"),
    "not a number": (tensors(lambda t: t | {A: t[A] * torch.inf}), "NaN or infinite"),
    "a foreign name": (tensors(lambda t: {"unet.x": torch.ones(2)}), "does not begin with base_model.model."),
    "a missing layer": (tensors(lambda t: {k: v for k, v in t.items() if "layers.0" in k}), "missing from the file"),
    "whole numbers": (tensors(lambda t: t | {A: t[A].to(torch.int32)}), "holds int32"),
    "another width": (tensors(lambda t: t | {A: torch.ones(2, 7)}), r"has shape \(2, 7\), the model needs \(2, 48\)"),
    "another base's weight": (
        tensors(lambda t: t | {f"{PREFIX}{Q}.base_layer.weight": torch.ones(48, 48)}), "a weight of another base",
    ),
    "never trained": (tensors(lambda t: {k: v * ("lora_A" in k) for k, v in t.items()}), "never trained"),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_or_damaged_adapter_is_refused_in_one_line(what: str, adapter: Path) -> None:
    spoil, message = HOSTILE[what]
    spoil(adapter)
    network = tiny("llama")
    with pytest.raises(UserError, match=message) as caught:
        attach_adapter(network, adapter)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700
    assert not any(hasattr(module, "active") for module in network.modules()), "the network stays as it was"


def test_keys_that_change_nothing_are_taken(adapter: Path) -> None:
    config(auto_mapping={"parent_library": "os"}, peft_version="9.9", a_new_key=None, use_dora=False)(adapter)
    assert read_adapter(adapter)[0]["r"] == 2
    attach_adapter(tiny("llama"), adapter)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.sampled_from(["r", "lora_alpha", "target_modules", "rank_pattern", "use_rslora", "bias", "zz",
                            "layers_to_transform", "layers_pattern", "exclude_modules", "init_lora_weights"]),
       value=values)  # fmt: skip
def test_any_value_is_read_or_refused(key: str, value: object, adapter: Path, request: pytest.FixtureRequest) -> None:
    good = (adapter / "adapter_config.json").read_text()
    try:
        config(**{key: value})(adapter)
        attach_adapter(tiny("llama"), adapter)
    except UserError as error:
        assert "\n" not in str(error)
    finally:
        (adapter / "adapter_config.json").write_text(good)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 5000), byte=st.integers(0, 255), cut=st.booleans())
def test_any_damage_to_the_tensors_is_read_or_refused(place: int, byte: int, cut: bool, adapter: Path) -> None:
    path = adapter / WEIGHTS
    good = path.read_bytes()
    place %= len(good)
    path.write_bytes(good[:place] if cut else good[:place] + bytes([byte]) + good[place + 1 :])
    try:
        attach_adapter(tiny("llama"), adapter)
        assert not cut
    except UserError as error:
        assert "\n" not in str(error)
    finally:
        path.write_bytes(good)
