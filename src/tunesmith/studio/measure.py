"""Before and after on pictures that were held out: the base against the tuned model at the same noise."""

from collections.abc import Sequence
from pathlib import Path

from tunesmith.core.files import write_json
from tunesmith.evaluate.before_after import Evaluation, Outcome
from tunesmith.evaluate.items import Measured, write_items
from tunesmith.evaluate.statistics import paired_difference
from tunesmith.models.diffusion.denoiser import Denoiser
from tunesmith.pictures.prepare import Picture
from tunesmith.report.numbers import metric
from tunesmith.show import Show
from tunesmith.studio.judge import Judge
from tunesmith.studio.opening import Opened
from tunesmith.studio.preferences import PairJudge


def measured(opened: Opened, model: Denoiser, judge: Judge | PairJudge, folder: Path, show: Show) -> Evaluation | None:
    """-> the comparison, written to the run folder; None where nothing was held out."""
    if not opened.recipe.evaluate.enabled:
        return None
    drift = judge.drift(model)
    if drift is not None:
        show.say(f"drift of the class prompt: the answers moved by {drift:.4g} (mean square), 0 would be the base")
    if not judge.pictures:
        show.say("no picture was held out: nothing is compared with the base (give data.validation, or 5 pictures)")
        return None
    after, tuned = judge.scores(model)
    with judge.feed.base() as base:
        before, plain = judge.scores(base)
    found = {
        name: paired_difference(before[name], values, higher_is_better=metric(name).higher_is_better)
        for name, values in after.items()
    }
    evaluation = Evaluation(
        {name: sum(values) / len(values) for name, values in before.items()},
        {name: sum(values) / len(values) for name, values in after.items()},
        {name: {"mean": one.mean, "low": one.low, "high": one.high, "p": one.p} for name, one in found.items()},
        {name: one.verdict for name, one in found.items()},
        len(judge.pictures),
    )
    loss = next(name for name in after if name.endswith("loss"))
    sides = {"base": before[loss], "tuned": after[loss]}
    write_items(folder, {side: items_of(judge.pictures, losses) for side, losses in sides.items()})
    write_json(folder / "evaluation.json", evaluation.document())
    write_json(folder / "levels.json", {"base": plain.tolist(), "tuned": tuned.tolist()})
    return evaluation


def items_of(pictures: Sequence[Picture], losses: Sequence[float]) -> Measured:
    """-> what a model did on each picture, `losses` being means over the levels."""
    each = zip(pictures, losses, strict=True)
    return Measured([Outcome(picture.row, loss, 1) for picture, loss in each], [], {})
