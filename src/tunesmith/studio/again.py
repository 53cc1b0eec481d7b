"""Judge a finished run on pictures again: its base and what it made are opened, and its suites asked."""

from collections.abc import Sequence
from pathlib import Path

import torch

from tunesmith.catalogue.fetch import default_cache
from tunesmith.core.errors import UserError
from tunesmith.core.files import RunLock
from tunesmith.models.diffusion.denoiser import Denoiser, Parts
from tunesmith.models.diffusion.load import load_pipeline
from tunesmith.models.load import Place
from tunesmith.opening import read_run_recipe
from tunesmith.outcome import finished
from tunesmith.recipe import Recipe
from tunesmith.release.papers import write_papers
from tunesmith.report.document import RunResult
from tunesmith.report.folder import RunFiles
from tunesmith.report.html import write_report
from tunesmith.report.suites import SuitesFound, read_suites
from tunesmith.show import Show
from tunesmith.studio import words
from tunesmith.studio.feed import PictureFeed
from tunesmith.studio.fidelity import chosen, flat, identity, measured, missing_encoder
from tunesmith.studio.files import attach_saved
from tunesmith.studio.opening import Opened, base_opener, model_of, open_base, open_source
from tunesmith.studio.sides import PictureSides
from tunesmith.studio.store import Store
from tunesmith.studio.told import Teller


def judge_again(
    run: Path, names: Sequence[str], show: Show, *, margin: float = 0.05, encoders: Sequence[str] = ()
) -> SuitesFound:
    """-> all that was ever found of this run. Suites, `result.json`, report and papers are written again.

    Raises UserError for a run that did not end well or learned no single subject, and where the encoder is missing.
    """
    recipe, result = read_run_recipe(run), finished(run)
    if result is None or result.artifact is None:
        raise UserError(f"{run}: this run did not end well; see its result.json, and give its command again")
    wanted = chosen(names)
    if (why := missing_encoder()) is not None:
        raise UserError(why)
    of = identity(recipe, result.artifact.sha256)
    with RunLock(run):
        sides = open_sides(run, _with(recipe, encoders), result, show)
        measured(sides, wanted, of, margin)
        found = read_suites(run)
        assert found is not None, "it was written just now"
        result.model_copy(update={"fidelity": flat(found.suites)}).write(run)
        write_report(run)
        write_papers(run)
    return found


def _with(recipe: Recipe, encoders: Sequence[str]) -> Recipe:
    """-> the recipe with other encoders, where there are any."""
    more = {"encoders": tuple(encoders)} if encoders else {}
    return recipe.model_copy(update={"evaluate": recipe.evaluate.model_copy(update=more)})


def open_sides(run: Path, recipe: Recipe, result: RunResult, show: Show) -> PictureSides:
    """-> base and tuned model of a finished run."""
    opened = open_base(recipe, open_source(recipe, show.say), run, show.say)
    if RunFiles.read(run).data.get("sha256") != opened.prepared.facts["sha256"]:
        show.say("warning: the pictures have changed since the run; they are compared as they are now")
    assert result.artifact is not None
    model = _tuned(opened, run).eval()
    store = Store(opened.base.vae, opened.base.fingerprint, recipe.pictures, recipe.train.seed, default_cache())
    feed = PictureFeed(opened, store, Teller(opened), 1, base_opener(opened, model))
    return PictureSides(feed, model, run, result.artifact.sha256, show)


def _tuned(opened: Opened, run: Path) -> Denoiser:
    if opened.recipe.method.kind != "full":
        model = model_of(opened)
        if not opened.recipe.method.bare:
            attach_saved(model.network, run / "adapter", opened.base.generation)
        if opened.taught:
            words.put_in(opened.base.parts, opened.taught)
            words.fill_saved(opened.base, run / words.FOLDER)
        return model
    whole = load_pipeline(Place(str(run), run / "model"), dtype=opened.probe.dtype, cache=default_cache())
    parts: dict[str, torch.nn.Module] = {name: whole.parts[name].to(opened.device) for name in opened.run}
    return Denoiser(Parts(parts), opened.base.family)
