"""Before and after on pictures that were held out: the base against the tuned model at the same noise."""

from collections.abc import Sequence
from pathlib import Path

from tunesmith.core.files import write_json
from tunesmith.evaluate.before_after import Evaluation, Outcome
from tunesmith.evaluate.items import Measured, write_items
from tunesmith.evaluate.statistics import paired_difference
from tunesmith.models.diffusion.denoiser import Denoiser
from tunesmith.pictures.prepare import Picture
from tunesmith.show import Show
from tunesmith.studio.judge import Judge
from tunesmith.studio.opening import Opened

NAME = "denoising_loss"


def measured(opened: Opened, model: Denoiser, judge: Judge, folder: Path, show: Show) -> Evaluation | None:
    """-> the comparison, written to the run folder; None where nothing was held out."""
    if not opened.recipe.evaluate.enabled:
        return None
    drift = judge.drift(model)
    if drift is not None:
        show.say(f"drift of the class prompt: the answers moved by {drift:.4g} (mean square), 0 would be the base")
    if not judge.pictures:
        show.say("no picture was held out: nothing is compared with the base (give data.validation, or 5 pictures)")
        return None
    after = judge.losses(model)
    with judge.feed.base() as base:
        before = judge.losses(base)
    first, second = before.mean(1).tolist(), after.mean(1).tolist()
    found = paired_difference(first, second, higher_is_better=False)
    evaluation = Evaluation(
        {NAME: float(before.mean())},
        {NAME: float(after.mean())},
        {NAME: {"mean": found.mean, "low": found.low, "high": found.high, "p": found.p}},
        {NAME: found.verdict},
        len(first),
    )
    write_items(folder, {"base": items_of(judge.pictures, first), "tuned": items_of(judge.pictures, second)})
    write_json(folder / "evaluation.json", evaluation.document())
    write_json(folder / "levels.json", {"base": before.mean(0).tolist(), "tuned": after.mean(0).tolist()})
    return evaluation


def items_of(pictures: Sequence[Picture], losses: Sequence[float]) -> Measured:
    """-> what a model did on each picture, `losses` being means over the levels."""
    each = zip(pictures, losses, strict=True)
    return Measured([Outcome(picture.row, loss, 1) for picture, loss in each], [], {})
