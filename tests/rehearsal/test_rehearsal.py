"""What a rehearsal adds to what it saw, and what it does not even begin."""

from pathlib import Path

import pytest
import torch

from tunesmith.core.errors import UserError
from tunesmith.models.load import Place
from tunesmith.rehearsal import __main__ as rehearsal
from tunesmith.rehearsal.excerpt import Outline
from tunesmith.rehearsal.measured import forget_peak, most_held, resident
from tunesmith.rehearsal.training import Rehearsed

CPU = torch.device("cpu")


def test_a_base_larger_than_the_memory_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.safetensors").write_bytes(bytes(2_000))
    place = Place("big", tmp_path)
    monkeypatch.setattr(rehearsal, "free_memory", lambda device: 1_999)
    with pytest.raises(UserError, match=r"weights of big are 2\.0 kB"):
        rehearsal.refuse_too_large(place, CPU)
    monkeypatch.setattr(rehearsal, "free_memory", lambda device: 2_000)
    assert rehearsal.refuse_too_large(place, CPU) == 2_000


def test_lengths_that_were_not_met_are_added_up_to_a_limit() -> None:
    held = {"load": 100, "training": 1_000, "artifact": 1_000, "evaluation": 900}
    trained = Rehearsed(seconds=1.0, limit=None, kept=10.0, lengths=4)
    run = Outline(steps=50, tokens=1, largest=(0,), lengths=24)
    found = rehearsal.with_kernels(held, run, trained, reading=5.0, passes=(2, 6))
    assert found == {"load": 100, "training": 1_210, "artifact": 1_210, "evaluation": 900 + 210 + 30}
    endless = Outline(steps=50, tokens=1, largest=(0,), lengths=10**9)
    assert rehearsal.with_kernels(held, endless, trained, 5.0, (2, 6))["training"] == 1_000 + rehearsal.KERNELS - 40
    met = Outline(steps=50, tokens=1, largest=(0,), lengths=2)
    assert rehearsal.with_kernels(held, met, trained, 5.0, (0, 0)) == held


def test_the_peak_is_of_what_was_held_and_can_be_forgotten() -> None:
    forget_peak(CPU)
    before, size = resident(), 200 << 20
    block = torch.ones(size // 4)
    assert most_held(CPU) >= before + 0.9 * size
    del block
    forget_peak(CPU)
    assert most_held(CPU) < before + 0.5 * size
