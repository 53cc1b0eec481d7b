"""What is free goes back to the system."""

import gc

import psutil
import torch

from tunesmith.core.freed import give_back


def test_free_memory_is_given_back() -> None:
    own = psutil.Process()
    kept = [torch.ones(16_000) for _ in range(1_500)]  # 64 kB each: too small for a mapping of their own
    guard = torch.ones(16_000)
    before = own.memory_info().rss
    del kept
    gc.collect()
    give_back()
    assert own.memory_info().rss < before - 60e6
    assert bool(guard.all())
