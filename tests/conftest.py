"""Fixtures that every test may ask for."""

import os
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before transformers is imported: no test reaches a network
if "PYTEST_XDIST_WORKER" in os.environ:  # two workers on two cores: threads that wait for each other would only spin
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings

from tests.families import tiny, tiny_tokenizer

# No test is about time: a busy machine must not fail one.
settings.register_profile("calm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("calm")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`tiny_folder("llama")` -> a folder with a tiny random model and its tokenizer. Read it only: all share it."""
    root = tmp_path_factory.mktemp("families")

    def folder(family: str) -> Path:
        path = root / family
        if not path.exists():
            tiny(family).save_pretrained(path)
            tiny_tokenizer().save_pretrained(path)
        return path

    return folder
