"""`scripts/check_statistics.py`: every statistic against chance, each line within its bounds."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

PATH = Path(__file__).parents[2] / "scripts" / "check_statistics.py"


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_statistics", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


CHECK = script()


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECK.LINES)
def test_false_alarms_and_coverage(name: str) -> None:
    line = CHECK.LINES[name]
    alarms, covered = CHECK.measured(line)
    assert CHECK.within(line, alarms, covered), (alarms, covered)


def test_the_check_sees_a_statistic_that_alarms_too_often_and_an_interval_that_is_too_narrow() -> None:
    line = CHECK.LINES["mean/40"]
    assert CHECK.within(line, 5.0, 95.0)
    assert not CHECK.within(line, 8.0, 95.0) and not CHECK.within(line, 5.0, 90.0)
    loud = CHECK.Line(lambda draw, seed: (draw.random() < 0.2, None), trials=500)
    assert not CHECK.within(loud, *CHECK.measured(loud))
