"""`method.rank: auto`: a few widths around the method's own, each attached, trained for a few steps and taken out.

They are tried at one rate: with alpha / rank as its strength, the best rate of LoRA hardly depends on the rank
(LoRA Without Regret, 2025).
"""

from dataclasses import replace
from typing import Any

import torch

from tunesmith.core.errors import UserError
from tunesmith.models.language import Packed
from tunesmith.opening import Opened, own_rate
from tunesmith.probing.choice import Key, Trial, best
from tunesmith.probing.rates import steps_of_trial
from tunesmith.probing.trial import ROWS, Probe
from tunesmith.show import Show
from tunesmith.stages import attach

KEY = Key("method.rank", "rank")
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the method's own rank


def ranks_around(rank: int) -> tuple[int, ...]:
    """-> whole numbers, smallest first."""
    return tuple(dict.fromkeys(max(1, round(rank * factor)) for factor in FACTORS))


def own_rank(opened: Opened) -> int:
    """-> the rank of the method, where nobody gives one."""
    return int(type(opened.recipe.method).model_fields["rank"].default)


def with_rank(opened: Opened, rank: int) -> Opened:
    method = opened.recipe.method.model_copy(update={"rank": rank})
    return replace(opened, recipe=opened.recipe.model_copy(update={"method": method}))


def chosen_rank(opened: Opened, model: Packed, show: Show) -> dict[str, Any]:
    """-> the choice. `model` has no method in it, before as after."""
    given = opened.recipe.train.learning_rate
    rate = own_rate(opened.recipe)["value"] if given == "auto" else opened.recipe.train.rate
    own, steps, start = own_rank(opened), steps_of_trial(opened), 0.0
    trials: list[Trial] = []
    with show.watch("trying ranks", steps * len(FACTORS), "steps") as seen:
        for rank in ranks_around(own):
            try:
                start, loss = _tried(with_rank(opened, rank), model, show, rate, steps)
            except UserError:
                if not trials:  # what is wrong is not its width
                    raise
                break  # wider than a layer, and so is each that follows
            trials.append(Trial(rank, loss))
            seen.read(steps)
    value, why = best(trials, start, own, KEY)
    return {
        "value": int(value),
        "reason": f"{why}; {len(trials)} ranks tried for {steps} steps each at a rate of {rate:g}, judged on "
        f"{min(ROWS, len(opened.prepared.validation))} validation rows; so short a trial favours what learns fast",
        "tried": KEY.tried(trials, start),
    }


def _tried(opened: Opened, model: Packed, show: Show, rate: float, steps: int) -> tuple[float, float | None]:
    """-> the loss before and after."""
    attach(opened, model, lambda _: None)
    try:
        probe = Probe(opened, model, show)
        return probe.validation_loss(), probe.loss(rate, steps)
    finally:
        with torch.no_grad():
            opened.method.detach(opened.base.network)
