"""Jobs of a comparison on pictures: the base at the fixed noise of what is held out, the steps of a method timed."""

import time
from pathlib import Path
from statistics import mean
from typing import Any

from tunesmith.catalogue.fetch import default_cache
from tunesmith.core.errors import UserError
from tunesmith.core.order import steps_per_epoch
from tunesmith.environment import environment
from tunesmith.evaluate.items import write_items
from tunesmith.methods.inject import parameter_counts
from tunesmith.models.diffusion.denoiser import Denoiser
from tunesmith.opening import own_rate
from tunesmith.recipe import Recipe, make_recipe
from tunesmith.rehearsal.training import SMALL, optimizer_of, timed
from tunesmith.report.comparison import PICTURES
from tunesmith.streams.stream import steps
from tunesmith.studio.feed import PictureFeed
from tunesmith.studio.judge import Judge
from tunesmith.studio.measure import items_of
from tunesmith.studio.opening import Opened, base_opener, model_of, open_base, open_source
from tunesmith.studio.run import attached
from tunesmith.studio.store import Store
from tunesmith.studio.told import Teller
from tunesmith.train.step import Stepper
from tunesmith.train.world import World

TIMED = 3  # steps, of which the first is not counted


def measure_base(asked: dict[str, Any], opening: float) -> dict[str, Any]:
    """Judge the base on all pictures that are held out; write its items to `folder`."""
    opened = _opened(make_recipe(asked["recipe"]))
    prepared, train = opened.prepared, opened.recipe.train
    if not prepared.validation:
        raise UserError(
            "data: a comparison needs pictures that are held out; give data.validation, or data.split and more "
            "pictures (of fewer than 5 distinct ones none is)"
        )
    model = model_of(opened).eval()
    judge = Judge(_feed(opened, model), prepared.validation)
    begin = time.perf_counter()
    found = items_of(prepared.validation, judge.losses(model).mean(1).tolist())
    write_items(Path(asked["folder"]), {"base": found})
    return {
        "precision": opened.probe.precision,
        "items": len(found.outcomes),
        "of": len(found.outcomes),
        "metric": PICTURES,
        "scoring": time.perf_counter() - begin,
        "opening": opening,
        "steps": train.steps(steps_per_epoch(len(prepared.train), train.batch_size)),
        "batch_size": train.batch_size,
        "rows": len(prepared.train),
        "validation": len(prepared.validation),
        "environment": environment(opened.device, opened.probe.precision),
    }


def time_method(asked: dict[str, Any], opening: float) -> dict[str, Any]:
    """Attach the method and time some of its steps. Rates are not tried on pictures."""
    opened = _opened(make_recipe(asked["recipe"]))
    model, config, prepared = attached(opened), opened.recipe.train, opened.prepared
    counts = parameter_counts(model.network)
    feed = _feed(opened, model)
    optimizer = optimizer_of(config, {name: p for name, p in model.named_parameters() if p.requires_grad})
    stepper = Stepper(model, opened.objective, optimizer, World(opened.device), clip=config.clip)
    stream = steps(feed, prepared.train, seed=config.seed, batch_size=config.batch_size)  # type: ignore[arg-type]
    model.train()
    seconds = [timed(lambda step=step: stepper.step(stream(step), SMALL * config.rate)) for step in range(TIMED)]  # type: ignore[misc]
    judge = Judge(feed, prepared.validation)
    model.eval()
    validation = timed(lambda: judge(model))
    given = asked["recipe"]["train"].get("learning_rate")
    reason = "given in the recipe of this method"
    choice = own_rate(opened.recipe) if given is None else {"value": given, "reason": reason}
    return {
        "parameters": counts,
        "opening": opening,
        "step": mean(seconds[1:]),
        "validation": validation,
        "choice": choice,
    }


def _opened(recipe: Recipe) -> Opened:
    def silent(line: str) -> None:
        pass

    return open_base(recipe, open_source(recipe, silent), None, silent)


def _feed(opened: Opened, model: Denoiser) -> PictureFeed:
    """The pictures of a class, which the base would have to paint first, are stood for by those of the subject."""
    config, prepared = opened.recipe.pictures, opened.prepared
    store = Store(opened.base.vae, opened.base.fingerprint, config, opened.recipe.train.seed, default_cache())
    return PictureFeed(opened, store, Teller(opened), config.kept, base_opener(opened, model), prepared.train)
