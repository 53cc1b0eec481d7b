"""What a policy can speak of: the suites, what each is about, and the command that measures it."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tunesmith.report.numbers import METRICS

MAIN = "task.main"
"""The metric that the report of a run speaks of first, whatever the task is."""


@dataclass(frozen=True, slots=True)
class Suite:
    """A group of metrics."""

    area: str  # the heading that its rules stand under
    metrics: tuple[str, ...]
    command: str | None  # that measures it; None: a finished run has it
    open: bool = False  # whether there are metrics whose names depend on the data
    of: Literal["texts", "pictures", "all"] = "texts"  # what a run must have learned to be asked


_TASK = tuple(name for name in METRICS if not name.startswith("general_"))
_GENERAL = tuple(name.removeprefix("general_") for name in METRICS if name.startswith("general_"))

SUITES: dict[str, Suite] = {
    "task": Suite("gain", ("main", *_TASK), "evaluate {run}", of="all"),
    "general": Suite("forgetting", (*_GENERAL, "kl/general", "kl/task"), "evaluate {run} --suite general", open=True),
    "crows-pairs": Suite("fairness", ("stereotype_preferred",), "evaluate {run} --suite crows-pairs", open=True),
    "occupations": Suite("fairness", ("stereotype_preferred",), "evaluate {run} --suite occupations", open=True),
    "bbq": Suite(
        "fairness",
        ("accuracy_ambiguous", "accuracy_disambiguated", "bias_ambiguous", "bias_disambiguated"),
        "evaluate {run} --suite bbq",
        open=True,
    ),
    "slices": Suite("fairness", (), "evaluate {run} --slice COLUMN", open=True),
    "refusals": Suite(
        "safety",
        ("refused", "answered", "over_refused", "makes_no_sense"),
        "evaluate {run} --suite refusals",
        open=True,
    ),
    "memorisation": Suite(
        "memorisation", ("extracted", "auc", "epsilon_at_least"), "evaluate {run} --suite memorisation", open=True
    ),
    "calibration": Suite("conduct", ("ece", "brier", "ece_of_tokens"), "evaluate {run} --suite calibration", open=True),
    "drift": Suite(
        "conduct", ("words", "ended", "repeats", "format_as_reference"), "evaluate {run} --suite drift", open=True
    ),
    "subject": Suite(
        "gain", ("likeness", "similarity", "clip_i", "dino"), "evaluate {run} --suite subject", of="pictures"
    ),
    "prompts": Suite(
        "conduct",
        ("slots", "slots/background", "slots/place", "slots/size", "prompt_found", "clip_t"),
        "evaluate {run} --suite prompts",
        of="pictures",
    ),
    "class": Suite(
        "forgetting", ("drift", "diversity", "class_likeness"), "evaluate {run} --suite class", of="pictures"
    ),
    "copies": Suite(
        "memorisation", ("nearest", "copied", "copied/asked"), "evaluate {run} --suite copies", of="pictures"
    ),
    "artifact": Suite("size", ("bytes", "share_of_base"), None, of="all"),
    "proof": Suite("proof", ("failed",), None, of="all"),
    "data": Suite("data", ("overlap",), None, of="all"),
    "privacy": Suite("memorisation", ("epsilon",), None),
}


def area(metric: str) -> str:
    suite = SUITES.get(metric.partition(".")[0])
    return suite.area if suite else "other"


def command(metric: str, run: Path) -> str | None:
    """-> what to type for a metric that was not measured; None where no command gives it."""
    suite = SUITES.get(metric.partition(".")[0])
    if suite is None or suite.command is None:
        return None
    return "tunesmith " + suite.command.format(run=shlex.quote(str(run)))
