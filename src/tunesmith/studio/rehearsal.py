"""A run on pictures in small, for its plan: its real parts in a process of its own, in their order.

`python -m tunesmith.studio.rehearsal` is such a process; `rehearsal.clock` says how one talks with it.
"""

from collections.abc import Sequence
from pathlib import Path

from tunesmith.catalogue.fetch import default_cache
from tunesmith.core.freed import give_back
from tunesmith.core.order import steps_per_epoch
from tunesmith.models.diffusion.denoiser import Denoiser
from tunesmith.models.diffusion.paint import Brush
from tunesmith.objectives.dreambooth import DreamBooth
from tunesmith.pictures.prepare import Picture
from tunesmith.recipe import Recipe
from tunesmith.rehearsal.clock import Clock, answer, refuse_too_large, save_checkpoint
from tunesmith.rehearsal.excerpt import Calendar
from tunesmith.rehearsal.measured import PAINTING, Measured, resident
from tunesmith.rehearsal.training import optimizer_of
from tunesmith.show import Show
from tunesmith.studio.classes import class_pictures, kept_as
from tunesmith.studio.feed import PictureFeed
from tunesmith.studio.few import FewLatents, FewTold
from tunesmith.studio.files import save
from tunesmith.studio.opening import Opened, base_opener, open_base, open_source
from tunesmith.studio.proof import PictureProof
from tunesmith.studio.run import attached
from tunesmith.studio.samples import brush_of, due, prompts_of
from tunesmith.studio.trial import Judging, Painting, judge_a_little, outlined, paint_a_little, train_a_little


def rehearse(recipe: Recipe, scratch: Path, clock: Clock) -> Measured:
    """Play the run of `recipe` in small; what it writes goes below `scratch`. Raises what the run would raise."""
    with clock.stage("data"):
        place = open_source(recipe, clock.say)
    free = refuse_too_large(place, clock.device, "*/*.safetensors")
    with clock.stage("load"):
        opened = open_base(recipe, place, None, clock.say)
    for sentence in opened.prepared.said:
        clock.say(sentence)
    for key, choice in opened.choices.items():
        clock.say(f"{key} = {choice['value']}: {choice['reason']}")
    with clock.stage("attach"):
        model = attached(opened)
        PictureProof.begin(opened, model.network, prompts_of(opened)[:2])
    return _played(opened, model, scratch, clock).model_copy(update={"free": free})


def _played(opened: Opened, model: Denoiser, scratch: Path, clock: Clock) -> Measured:
    config, prepared = opened.recipe.train, opened.prepared
    steps = config.steps(steps_per_epoch(len(prepared.train), config.batch_size))
    run = outlined(opened, steps)
    calendar = Calendar.of(config, steps, bool(prepared.validation))
    with clock.stage("latents"):
        feed, reading = _feed(opened, model, scratch)
    optimizer = optimizer_of(config, {name: p for name, p in model.named_parameters() if p.requires_grad})
    with clock.stage("training"):
        training = train_a_little(opened, model, feed, optimizer, run)
    with clock.stage("validation"):
        judging = judge_a_little(feed, model)
    with clock.stage("checkpoints"):
        checkpoint = save_checkpoint(config.keep_checkpoints, optimizer, model, scratch)
    give_back()  # as a run does behind its last step
    before = _bytes(scratch)
    with clock.stage("artifact"):
        save(scratch, opened, model.network)
    beside = resident()
    with clock.stage("proof"):
        PictureProof.begin(opened, model.network, prompts_of(opened)[:2])  # its end looks at the same once more
    with clock.stage("evaluation"):
        painting = _painting(opened, model, steps)
    taken = clock.seconds
    readers = 2 if opened.recipe.method.kind == "lora" else 1
    return Measured(
        steps=steps,
        tokens=run.tokens,
        tokens_per_pass=config.tokens_per_pass or 0,
        seconds={
            "opening": taken["start"] + taken["data"] + taken["load"] + taken["attach"],
            "latents": reading,
            "training": training,
            "validation": _validating(judging, calendar.validations),
            "checkpoints": taken["checkpoints"] * calendar.saves,
            "artifact": taken["artifact"],
            # A fresh process starts as this one did; each reader loads and paints.
            "proof": taken["proof"] + taken["start"] + readers * (taken["load"] + taken["proof"]),
            "scoring": _scoring(opened, judging, taken["load"]),
            "samples": painting,
        },
        held=clock.held,
        beside=beside,
        fresh=clock.held["attach"],
        free=0,
        checkpoint=checkpoint,
        kept=calendar.kept,
        artifact=_bytes(scratch) - before,
    )


def _feed(opened: Opened, model: Denoiser, scratch: Path) -> tuple[PictureFeed, float]:
    """-> what gives the passes, and seconds until all latents and prompts of a run are there."""
    prepared, objective, variants = opened.prepared, opened.objective, opened.recipe.pictures.kept
    store, teller = FewLatents(opened, scratch, default_cache()), FewTold(opened)
    unique = list({picture.row: picture for picture in prepared.train}.values())
    others: Sequence[Picture] = ()
    if isinstance(objective, DreamBooth) and objective.prior == "images":
        there = kept_as(opened, objective)[1].is_dir()
        others = class_pictures(opened, objective, Show(lambda _: None)) if there else unique  # of the same size
    count = len(unique) * variants + len(prepared.validation)
    count += objective.class_images if others and isinstance(objective, DreamBooth) else 0
    captions = list(dict.fromkeys(picture.caption for picture in (*unique, *prepared.validation)))
    seconds = store.reading([*unique, *prepared.validation], count) + teller.reading(captions)
    return PictureFeed(opened, store, teller, variants, base_opener(opened, model), others), seconds


def _painting(opened: Opened, model: Denoiser, steps: int) -> float:
    """-> seconds of all that is painted: the grids, and the class where it is not kept from an earlier run."""
    config, objective = opened.recipe.evaluate, opened.objective
    grids = 2 + sum(due(config, step, steps) for step in range(1, steps))
    count = grids * len(prompts_of(opened)) * config.pictures if config.enabled else 0
    of_class = 0
    if isinstance(objective, DreamBooth) and objective.prior == "images":
        of_class = 0 if kept_as(opened, objective)[1].is_dir() else objective.class_images
    if not count and not of_class:
        return 0.0
    one: Painting = paint_a_little(opened, model)
    return count * one.of(brush_of(opened)) + of_class * one.of(Brush())


def _validating(judging: Judging, times: int) -> float:
    if not times:
        return 0.0
    return times * (judging.losses + judging.drift) + judging.first_drift - judging.drift


def _scoring(opened: Opened, judging: Judging, load: float) -> float:
    """-> seconds to hold the tuned model against the base, which after full tuning is opened again."""
    if not opened.recipe.evaluate.enabled:
        return 0.0
    again = load if opened.recipe.method.kind == "full" and opened.prepared.validation else 0.0
    return judging.drift + 2 * judging.losses + again


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


if __name__ == "__main__":
    answer(rehearse, PAINTING)
