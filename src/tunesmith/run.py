"""A run from a recipe to a proven artifact: a table of contents. Its folder tells everything that happened."""

from pathlib import Path

from tunesmith.artifact import save
from tunesmith.core.errors import RunFailed
from tunesmith.core.files import write_json
from tunesmith.data.index import reminders, write_index
from tunesmith.evaluate.items import Measured
from tunesmith.methods.inject import parameter_counts
from tunesmith.opening import CANARIES, FACTS, claim, open_base, open_source, run_folder
from tunesmith.outcome import Success, finished, recorded
from tunesmith.probing.auto import probed, ranked
from tunesmith.proof import Check, Proof
from tunesmith.recipe import Recipe
from tunesmith.release.papers import write_papers
from tunesmith.report.document import RunResult
from tunesmith.report.html import write_report
from tunesmith.show import Show
from tunesmith.stages import attach, measure, model_of, probe, train
from tunesmith.studio.run import paint_run


def run(recipe: Recipe, show: Show | None = None, known: Measured | None = None) -> RunResult:
    """Train, prove, save and measure. The same call goes on where an earlier one was stopped.

    `known`: what the base did on the test part, where that was measured for several runs.
    Raises UserError (the input must change), RunFailed (not-a-number, a failed proof) and Interrupted (resumable);
    `result.json` in the run folder tells the same.
    """
    show, folder = show or Show(), recipe.folder
    with run_folder(folder):
        claim(folder, recipe)
        if result := finished(folder):
            show.say(f"{folder}: this run is finished; for another, change the recipe or the output")
            return result
        with recorded(folder, recipe):
            if recipe.objective.eats == "pictures":
                result, checks = paint_run(recipe, folder, show)
                _refuse_failed(checks)
            else:
                result = _run(recipe, folder, show, known)
            result.write(folder)
            write_report(folder)
            write_papers(folder)
            return result


def _run(recipe: Recipe, folder: Path, show: Show, known: Measured | None) -> RunResult:
    source = open_source(recipe, show.say)
    show.all(source.prepared.said)
    write_json(folder / FACTS, source.prepared.facts)
    if source.prepared.canaries:
        write_json(folder / CANARIES, [canary.told() for canary in source.prepared.canaries])
    write_index(folder, source.prepared.digests)
    show.all(reminders(folder.parent, source.prepared.digests))
    opened = open_base(source, folder, show.say)
    network = opened.base.network
    show.base(opened.base)
    show.choices(opened.choices)
    model = model_of(opened)
    show.way(model.way)
    opened = ranked(opened, model, folder, show)
    attach(opened, model, show.say)
    counts = parameter_counts(network)
    show.parameters(*counts)
    show.merging(opened.method.cannot_merge(network))
    proof = Proof.begin(network, opened.base.folder, probe(opened))
    opened = probed(opened, model, folder, show)
    fitted = train(opened, model, folder, show)
    model.eval()
    saved = save(folder, opened, model)
    kept = fitted.steps if fitted.best_step is None else fitted.best_step  # the step whose weights were kept
    checks = proof.end(network, saved.folder, steps=kept)
    show.proof(checks)
    _refuse_failed(checks)
    evaluation = measure(opened, model, folder, show, known)
    return Success(opened, counts, fitted, saved.described, evaluation, checks).document(show.notes)


def _refuse_failed(checks: dict[str, Check]) -> None:
    """A run whose proof fails is no success."""
    failed = {name: check.sentence for name, check in checks.items() if not check.passed}
    if failed:
        raise RunFailed("the proof failed: " + "; ".join(f"{name}: {why}" for name, why in failed.items()))
