"""The tables of the benchmark of subjects: runs are told apart by their names, and compared cell by cell."""

import json
import sys
from argparse import Namespace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import subjects


def test_a_run_is_known_by_its_name():
    assert subjects.parted("dreambooth-lora-cat-0") == ("dreambooth-lora", "cat-0")
    assert subjects.parted("size-16-0.0005-2") == ("size-16-0.0005", "2")
    assert subjects.parted("style-1") == ("style", "1")


def test_ways_are_compared_on_the_cells_that_both_have(tmp_path):
    for seed in range(6):
        for way, likeness in (("lora", 0.5), ("dreambooth-lora", 0.6 + 0.01 * seed)):
            run = tmp_path / f"{way}-cat-{seed}"
            run.mkdir()
            found = {"subject.likeness": {"base": 0.1, "tuned": likeness}}
            (run / "result.json").write_text(json.dumps({"fidelity": found, "train": None, "artifact": None}))
    (tmp_path / "lora-moon-0").mkdir()
    (tmp_path / "lora-moon-0" / "result.json").write_text(json.dumps({"fidelity": {}, "train": None, "artifact": None}))
    tables = subjects.tables(Namespace(folder=tmp_path, steps=1))
    apart = tables["pairs"]["lora - dreambooth-lora"]["subject.likeness"]
    assert apart["mean"] == pytest.approx(-0.125) and apart["above"] == 0 and apart["cells"] == 6
    assert apart["p"] == pytest.approx(2 / 2**6)
    assert tables["means"]["dreambooth-lora"]["subject.likeness"]["high"] == pytest.approx(0.65)
