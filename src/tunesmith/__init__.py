"""tunesmith fine-tunes pretrained models on your own data and hardware, and proves what it did.

    from tunesmith import Recipe, load, run

    recipe = Recipe(base="smollm2-135m", data="reviews.jsonl", method={"kind": "lora", "rank": 8})
    result = run(recipe)
    print(load(recipe.folder).generate("A question"))

Names are looked up when they are first used: `import tunesmith` alone loads no torch. A recipe that cannot be raises
`UserError`, which is a `ValueError`, in one line that names the key.
"""

import os
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunesmith.core.errors import Interrupted, RunFailed, UserError
    from tunesmith.data.config import Data
    from tunesmith.evaluate.config import Evaluate
    from tunesmith.loaded import Loaded, load
    from tunesmith.methods.full import Full
    from tunesmith.methods.lora import LoRA
    from tunesmith.objectives.classify import Classify
    from tunesmith.objectives.dpo import DPO
    from tunesmith.objectives.ipo import IPO
    from tunesmith.objectives.kto import KTO
    from tunesmith.objectives.orpo import ORPO
    from tunesmith.objectives.regress import Regress
    from tunesmith.objectives.reward import Reward
    from tunesmith.objectives.sft import SFT
    from tunesmith.objectives.simpo import SimPO
    from tunesmith.recipe import Recipe, read_recipe
    from tunesmith.report.document import RunResult
    from tunesmith.run import run
    from tunesmith.scorer import Scorer, load_scorer
    from tunesmith.train.config import Train

__all__ = [
    "DPO",
    "IPO",
    "KTO",
    "ORPO",
    "SFT",
    "Classify",
    "Data",
    "Evaluate",
    "Full",
    "Interrupted",
    "LoRA",
    "Loaded",
    "Recipe",
    "Regress",
    "Reward",
    "RunFailed",
    "RunResult",
    "Scorer",
    "SimPO",
    "Train",
    "UserError",
    "load",
    "load_scorer",
    "read_recipe",
    "run",
]

BUSY = 0.7  # processes that ran or waited, on average over the last minute

_PLACES = {
    "DPO": "objectives.dpo",
    "IPO": "objectives.ipo",
    "KTO": "objectives.kto",
    "ORPO": "objectives.orpo",
    "SFT": "objectives.sft",
    "Classify": "objectives.classify",
    "Regress": "objectives.regress",
    "Reward": "objectives.reward",
    "SimPO": "objectives.simpo",
    "Data": "data.config",
    "Evaluate": "evaluate.config",
    "Full": "methods.full",
    "Interrupted": "core.errors",
    "LoRA": "methods.lora",
    "Loaded": "loaded",
    "Recipe": "recipe",
    "RunFailed": "core.errors",
    "RunResult": "report.document",
    "Train": "train.config",
    "UserError": "core.errors",
    "load": "loaded",
    "read_recipe": "recipe",
    "run": "run",
    "Scorer": "scorer",
    "load_scorer": "scorer",
}


def _others_compute() -> bool:
    """Whether other processes want the processors: over the last minute, and at this moment."""
    try:
        with open("/proc/loadavg", encoding="ascii") as file:
            fields = file.read().split()
    except OSError:
        return os.getloadavg()[0] > BUSY
    return float(fields[0]) > BUSY and int(fields[3].split("/")[0]) > 1  # one of those that run is this one


# Threads that wait for each other spin. Alone on a machine that is 15 to 20 % faster than sleeping; beside another busy
# process it is two to eight times slower (docs/decisions/0003). OpenMP reads this once, when torch is loaded.
if _others_compute():
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """Importing the module `tunesmith.run` would put it in the place of the function: here the name is the function."""

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value.run if name == "run" and isinstance(value, ModuleType) else value)


sys.modules[__name__].__class__ = _Package
