"""Seconds for each token that a finished run writes: its change switched off, on, and written into the weights.

The three take turns, and medians are told, so that a machine that is slow for a moment is slow for all of them.
"""

import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from tunesmith.attached import attach_adapter
from tunesmith.bases import load_base
from tunesmith.core.errors import UserError
from tunesmith.loaded import Loaded, finished_run, load
from tunesmith.models.generate import step_by_step
from tunesmith.models.sampling import Sampling

PROMPT = "The river ran fast past the old mill, and in the evening the miller shut the gate and went home."
WARM = 3  # tokens, of which the first reads the prompt, that are not counted


def latency(run: Path, tokens: int, rounds: int) -> dict[str, Any]:
    """-> {"off", "on", "merged"}, and `cannot_merge` where there is no merged model. Needs the base twice in memory."""
    loaded = load(run)
    merged, why = _merged(run, loaded)
    prompt = loaded.tokenizer(PROMPT)["input_ids"]
    seconds: dict[str, list[float]] = {"off": [], "on": [], "merged": []}
    for _ in range(rounds):
        for side in ("off", "on"):
            with loaded.side(side) as network:
                seconds[side] += _timed(network, prompt, tokens)
        if merged is not None:
            seconds["merged"] += _timed(merged, prompt, tokens)
    found = {side: median(taken) if taken else None for side, taken in seconds.items()}
    if loaded.kind == "model":
        found["merged"] = found["on"]  # it is a plain model already
    return {**found, "cannot_merge": why}


def _merged(run: Path, loaded: Loaded) -> tuple[Any, str | None]:
    """-> the network with the change written into its weights, or None and why there is none."""
    if loaded.kind == "model":
        return None, None
    recipe, folder = finished_run(run)
    opened = load_base(recipe.base, dtype=loaded.network.dtype, allow_download=recipe.allow_download, say=_silent)
    method: Any = attach_adapter(opened.network, folder)
    try:
        if (why := method.cannot_merge(opened.network)) is None:
            method.merge(opened.network)
    except UserError as error:
        why = str(error)
    return (opened.network.to(loaded.network.device).eval(), None) if why is None else (None, why)


def _timed(network: Any, prompt: list[int], tokens: int) -> list[float]:
    """-> seconds of each token but the first ones."""
    moments = [time.perf_counter()]
    for _ in step_by_step(network, [prompt], set(), Sampling(tokens=tokens + WARM)):
        moments.append(time.perf_counter())
    return [after - before for before, after in pairwise(moments)][WARM:]


def _silent(line: str) -> None:
    """A worker has no one to talk to."""
