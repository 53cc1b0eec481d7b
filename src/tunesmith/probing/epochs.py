"""`train.epochs: auto`: one training at a constant rate, validated after each epoch, until the loss has turned.

Where there are many rows, a sample of them is learned: fewer rows are learned by heart sooner, so that the number that
is found is rather too small than too large.
"""

from collections.abc import Sequence
from math import ceil
from typing import Any

from tunesmith.core.batch import Example
from tunesmith.models.language import Packed
from tunesmith.opening import Opened
from tunesmith.probing.choice import Key, Trial, best
from tunesmith.probing.trial import ROWS, Probe
from tunesmith.show import Show
from tunesmith.train.config import MOST_EPOCHS

KEY = Key("train.epochs", "number of epochs")
STEPS = 8  # of an epoch, at most
TURNED = 2  # epochs in a row that are worse than the best before them


def sample(rows: Sequence[Example], batch_size: int) -> list[Example]:
    """-> at most `STEPS` steps of them, spread evenly over all."""
    count = min(len(rows), STEPS * batch_size)
    return [rows[place * len(rows) // count] for place in range(count)]


def steps_of_epoch(opened: Opened) -> int:
    batch_size = opened.recipe.train.batch_size
    return ceil(len(sample(opened.prepared.train, batch_size)) / batch_size)


def turned(losses: Sequence[float]) -> bool:
    return len(losses) > TURNED and min(losses[-TURNED:]) > min(losses[:-TURNED])


def chosen_epochs(opened: Opened, model: Packed, show: Show) -> dict[str, Any]:
    """-> the choice; the rate is known by now."""
    config = opened.recipe.train
    rows = sample(opened.prepared.train, config.batch_size)
    each = steps_of_epoch(opened)
    probe = Probe(opened, model, show, rows)
    rise = max(1, ceil(config.warmup * each * MOST_EPOCHS))

    with show.watch("trying numbers of epochs", each * MOST_EPOCHS, "steps") as seen:

        def enough(losses: Sequence[float]) -> bool:
            seen.read(each)
            return turned(losses)

        start = probe.validation_loss()
        marks = [each * epoch for epoch in range(1, MOST_EPOCHS + 1)]
        losses = probe.losses(lambda step: config.rate * min(1.0, (step + 1) / rise), marks, enough)
    trials = [Trial(epoch, loss) for epoch, loss in enumerate(losses, start=1)]
    value, why = best(trials, start, 1, KEY)
    whole = len(rows) == len(opened.prepared.train)
    how = f"all {len(rows)}" if whole else f"{len(rows)} of the {len(opened.prepared.train)}"
    doubt = "" if whole else "; with all rows the loss may turn later"
    return {
        "value": float(value),
        "reason": f"{why}; {len(trials)} epochs of {how} training rows at a constant "
        f"rate, judged on {min(ROWS, len(opened.prepared.validation))} validation rows{doubt}",
        "tried": KEY.tried(trials, start),
    }
