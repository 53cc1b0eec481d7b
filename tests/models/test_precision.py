import pytest
import torch

from tests.families import tiny
from tunesmith.models import memory, precision


@pytest.mark.parametrize(
    ("rates", "chosen"),
    [({"float32": 100, "bfloat16": 400}, "bfloat16"), ({"float32": 100, "bfloat16": 110}, "float32")],
)
def test_bfloat16_must_be_worth_it(monkeypatch, rates, chosen):
    monkeypatch.setattr(precision, "_rates", lambda dtypes: [rates[str(t).removeprefix("torch.")] for t in dtypes])
    probe = precision.choose("auto", torch.device("cpu"))
    assert probe.precision == chosen and "GFLOP/s" in probe.reason


def test_what_the_recipe_says_is_not_measured(monkeypatch):
    monkeypatch.setattr(precision, "_rates", lambda dtypes: 1 / 0)
    assert precision.choose("bfloat16", torch.device("cpu")).dtype is torch.bfloat16


def test_the_probe_measures_something():
    assert all(rate > 0 for rate in precision._rates((torch.float32, torch.bfloat16)))


@pytest.mark.parametrize(("free", "expected"), [(0, memory.FEW), (1 << 40, memory.MANY)])
def test_tokens_per_pass_keeps_its_bounds(monkeypatch, free, expected):
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: type("M", (), {"available": free})())
    config = tiny("llama").config
    assert memory.tokens_per_pass(config, torch.float32, torch.device("cpu"), 0) == expected


def test_a_smaller_memory_means_fewer_tokens(monkeypatch):
    config = tiny("llama").config
    need = memory.bytes_per_token(config, torch.float32)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: type("M", (), {"available": need * 1500})())
    assert memory.tokens_per_pass(config, torch.float32, torch.device("cpu"), need * 500) == 576
