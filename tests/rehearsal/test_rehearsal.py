"""What a rehearsal adds to what it saw, and what it does not even begin."""

from pathlib import Path

import pytest
import torch

from tunesmith.core.errors import UserError
from tunesmith.models.load import Place
from tunesmith.rehearsal import clock
from tunesmith.rehearsal.measured import forget_peak, most_held, resident

CPU = torch.device("cpu")


def test_a_base_larger_than_the_memory_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.safetensors").write_bytes(bytes(2_000))
    place = Place("big", tmp_path)
    monkeypatch.setattr(clock, "free_memory", lambda device: 1_999)
    with pytest.raises(UserError, match=r"weights of big are 2\.0 kB"):
        clock.refuse_too_large(place, CPU)
    monkeypatch.setattr(clock, "free_memory", lambda device: 2_000)
    assert clock.refuse_too_large(place, CPU) == 2_000


def test_the_peak_is_of_what_was_held_and_can_be_forgotten() -> None:
    forget_peak(CPU)
    before, size = resident(), 200 << 20
    block = torch.ones(size // 4)
    assert most_held(CPU) >= before + 0.9 * size
    del block
    forget_peak(CPU)
    assert most_held(CPU) < before + 0.5 * size
