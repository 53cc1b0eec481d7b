"""From what stands under `objective.reward` to a reward: a verifier, a file and function, a run folder, a sum."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path

from tunesmith.core.errors import UserError, near
from tunesmith.rewards.function import VERIFIERS as VERIFIERS_FILE
from tunesmith.rewards.function import Function
from tunesmith.rewards.reward import Reward, Term
from tunesmith.rewards.verifiers import VERIFIERS

Spec = str | Mapping[str, float]
KEY = "objective.reward"
SECONDS = 10.0  # that one call may take


def open_reward(spec: Spec, *, seconds: float = SECONDS, model: Callable[[Path], Term] | None = None) -> Reward:
    """-> the reward, its processes running. `model` opens the run folder of a trained reward model.

    Raises UserError that names the term and says what to write.
    """
    weights = {spec: 1.0} if isinstance(spec, str) else dict(spec)
    if not weights:
        raise UserError(f"{KEY}: is empty; name one of {_known()}, or a file and function (my.py:function)")
    for name, weight in weights.items():
        if not math.isfinite(weight) or weight == 0:
            raise UserError(f"{KEY}: the weight of `{name}` is {weight}; give a finite number that is not 0")
    opened: list[tuple[Term, float]] = []
    try:
        for name, weight in weights.items():
            opened.append((_opened(name.strip(), seconds, model), weight))
    except BaseException:
        for term, _ in opened:
            term.close()
        raise
    return Reward(tuple(opened))


def _opened(name: str, seconds: float, model: Callable[[Path], Term] | None) -> Term:
    before, _, function = name.rpartition(":")
    if before.endswith(".py"):
        return _file(name, Path(before), function, seconds)
    if name.endswith(".py"):
        raise UserError(f"{KEY}: `{name}` names no function; write it behind a colon, for example {name}:score")
    kind, colon, option = name.partition(":")
    if kind in VERIFIERS:
        return Function(name, VERIFIERS_FILE, kind, seconds=seconds, option=[option if colon else None])
    if Path(name).is_dir() and model is not None:
        return model(Path(name))
    raise UserError(
        f"{KEY}: `{name}` is no verifier, no file and function (my.py:function) and no folder of a reward model"
        f"{near(kind, VERIFIERS)}; verifiers are {_known()}"
    )


def _file(name: str, path: Path, function: str, seconds: float) -> Function:
    if not path.is_file():
        beside = [p.name for p in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise UserError(f"{KEY}: {path}: no such file{near(path.name, beside)}")
    if not function.isidentifier():
        raise UserError(f"{KEY}: `{function}` is no name of a function; write {path}:function")
    return Function(name, path, function, seconds=seconds)


def _known() -> str:
    return ", ".join(VERIFIERS)
