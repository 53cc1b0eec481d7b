"""A run on pictures from a recipe to a proven artifact: a table of contents."""

from collections.abc import Mapping
from pathlib import Path

import torch

from tunesmith.catalogue.fetch import default_cache
from tunesmith.core.errors import Interrupted, UserError
from tunesmith.core.files import sha256, write_json
from tunesmith.core.freed import give_back
from tunesmith.core.order import steps_per_epoch
from tunesmith.environment import environment
from tunesmith.evaluate.before_after import Evaluation
from tunesmith.export.diffusion_adapter import OWN, PLAIN
from tunesmith.methods.inject import parameter_counts
from tunesmith.models.diffusion.denoiser import Denoiser, Parts
from tunesmith.models.diffusion.prompts import unread
from tunesmith.objectives.denoise import Denoise
from tunesmith.objectives.dreambooth import DreamBooth
from tunesmith.opening import FACTS
from tunesmith.pictures.prepare import Picture
from tunesmith.proof import Check
from tunesmith.recipe import Recipe
from tunesmith.report.document import Artifact, Chosen, Evaluated, Origin, Parameters, RunResult, Training
from tunesmith.show import Show
from tunesmith.streams.stream import steps
from tunesmith.studio import samples
from tunesmith.studio.classes import class_pictures
from tunesmith.studio.feed import PictureFeed
from tunesmith.studio.fidelity import at_the_end
from tunesmith.studio.files import Saved, save
from tunesmith.studio.judge import Judge
from tunesmith.studio.measure import measured
from tunesmith.studio.opening import Opened, base_opener, model_of, open_base, open_source
from tunesmith.studio.preferences import PairFeed, PairJudge
from tunesmith.studio.proof import PictureProof
from tunesmith.studio.sides import PictureSides
from tunesmith.studio.store import Store
from tunesmith.studio.told import Teller
from tunesmith.studio.words import put_in, words_in
from tunesmith.train.loop import fit
from tunesmith.train.metrics import peak_memory
from tunesmith.train.progress import Event, Fitted
from tunesmith.train.world import World


def paint_run(recipe: Recipe, folder: Path, show: Show) -> tuple[RunResult, dict[str, Check]]:
    """-> the result and the checks of its proof. The caller holds the folder, and writes both down."""
    place = open_source(recipe, show.say)
    opened = open_base(recipe, place, folder, show.say)
    show.all(opened.prepared.said)
    write_json(folder / FACTS, opened.prepared.facts)
    show.base(opened.base)
    show.choices(opened.choices)
    model = attached(opened)
    counts = parameter_counts(model.network)
    show.parameters(*counts)
    feed, judge = _fed(opened, model, show)
    proof = PictureProof.begin(opened, model.network, samples.prompts_of(opened)[:2])
    _sample(opened, model, folder, "base", show)
    fitted = _train(opened, model, feed, judge, folder, show)
    model.eval()
    saved = save(folder, opened, model.network)
    checks = proof.end(model.network, saved, steps=fitted.steps)
    show.proof(checks)
    _sample(opened, model, folder, "tuned", show)
    found = measured(opened, model, judge, folder, show)
    described = _described(saved, folder, opened)
    result = _document(opened, counts, fitted, described, found, checks, show)
    fidelity = at_the_end(PictureSides(feed, model, folder, described.sha256, show), recipe)
    return result.model_copy(update={"fidelity": fidelity, "notes": show.notes}), checks


def attached(opened: Opened) -> Denoiser:
    """-> the denoiser with the method in it."""
    model, method = model_of(opened), opened.recipe.method
    torch.manual_seed(opened.recipe.train.seed)
    if method.needs_data:
        raise UserError(f"method: {method.kind} begins with what rows of text give it; choose another start")
    method.attach(Parts({name: getattr(model.network, name) for name in opened.adapted}))
    put_in(dict(model.network.named_children()), opened.taught)
    for name, parameter in model.network.named_parameters():
        if name.startswith(unread(opened.base.family, opened.base.parts)):
            parameter.requires_grad_(False)  # no gradient comes there
    model.eval()
    return model


def _fed(opened: Opened, model: Denoiser, show: Show) -> tuple[PictureFeed | PairFeed, Judge | PairJudge]:
    """-> what a step is fed with, and what judges the model; every latent is made."""
    config, prepared = opened.recipe.pictures, opened.prepared
    store = Store(opened.base.vae, opened.base.fingerprint, config, opened.recipe.train.seed, default_cache())
    variants = config.kept
    objective = opened.objective
    others: tuple[Picture, ...] = ()
    if isinstance(objective, DreamBooth) and objective.prior == "images":
        others = tuple(class_pictures(opened, objective, show))
    unique = list({picture.row: picture for picture in prepared.train}.values())
    worse = prepared.rejected
    unique += [worse[picture.row] for picture in unique if worse]
    judged = [*prepared.validation, *(worse[picture.row] for picture in prepared.validation if worse), *others]
    total = len(unique) * variants + len(judged)
    with show.watch("reading pictures", total, "pictures") as seen:
        store.prepare(unique, variants, seen.read)
        store.prepare(judged, 1, seen.read)
    base = base_opener(opened, model)
    if worse:
        pairs = PairFeed(opened, store, Teller(opened), variants, base)
        return pairs, PairJudge(pairs, prepared.validation)
    feed = PictureFeed(opened, store, Teller(opened), variants, base, others)
    return feed, Judge(feed, prepared.validation)


def _train(
    opened: Opened,
    model: Denoiser,
    feed: PictureFeed | PairFeed,
    judge: Judge | PairJudge,
    folder: Path,
    show: Show,
) -> Fitted:
    """Train until the end. Raises Interrupted when a signal came first."""
    config, prepared = opened.recipe.train, opened.prepared
    per_epoch = steps_per_epoch(len(prepared.train), config.batch_size)
    count = config.steps(per_epoch)
    show.averaging(config.ema)

    def judged() -> Mapping[str, float]:
        return judge(model)

    with show.training(count) as shown:

        def hear(event: Event) -> None:
            shown(event)
            if event.kind == "step" and samples.due(opened.recipe.evaluate, event.step, count):
                model.eval()
                with event.weights():
                    samples.keep(opened, model, folder, f"step-{event.step:06d}")

        fitted = fit(
            model,
            opened.recipe.objective,
            steps(feed, prepared.train, seed=config.seed, batch_size=config.batch_size),  # type: ignore[arg-type]
            config=config,
            steps=count,
            folder=folder,
            fingerprints={
                "recipe": opened.recipe.fingerprint,
                "base": opened.base.fingerprint,
                "data": prepared.facts["sha256"],
            },
            world=World(opened.device),
            evaluate=judged if prepared.validation else None,
            on_event=hear,
            epoch_steps=per_epoch,
            rates=_rates(opened, model),
        )
    if fitted.interrupted:
        raise Interrupted(f"stopped after step {fitted.steps} of {count}; give the same command again to go on")
    give_back()  # what painting and judging need must not come on top of what a step held
    return fitted


def _rates(opened: Opened, model: Denoiser) -> dict[str, float]:
    """-> by the names of parameters in the model; a word beside another method has a rate of its own."""
    own = dict(opened.recipe.method.rates(model.network))
    objective = opened.objective
    if isinstance(objective, Denoise) and not opened.recipe.method.bare:
        own |= dict.fromkeys(words_in(model.network), objective.token_rate)
    return {f"network.{name}": times for name, times in own.items()}


def _sample(opened: Opened, model: Denoiser, folder: Path, name: str, show: Show) -> None:
    config = opened.recipe.evaluate
    if not config.enabled or not config.pictures:
        return
    with show.watch(f"painting, {name}", 1, "grids") as seen:
        path = samples.keep(opened, model, folder, name)
        seen.read(1)
    show.say(f"pictures: {path}")


def _described(saved: Saved, folder: Path, opened: Opened) -> Artifact:
    artifact = saved.main
    files = sorted(artifact.rglob("*.safetensors"))
    main = next((path for path in files if path.name in (PLAIN, OWN)), files[0])
    base = opened.base.folder
    return Artifact(
        path=str(main.relative_to(folder)),
        bytes=sum(path.stat().st_size for path in ([main] if saved.adapter else files)),
        sha256=sha256(main),
        base_bytes=sum(path.stat().st_size for path in base.rglob("*.safetensors")),
        mergeable=opened.recipe.method.kind != "full",
    )


def _document(  # noqa: PLR0913 - all that a run has to tell
    opened: Opened,
    counts: tuple[int, int],
    fitted: Fitted,
    artifact: Artifact,
    evaluation: Evaluation | None,
    checks: dict[str, Check],
    show: Show,
) -> RunResult:
    found = evaluation.document() if evaluation else None
    return RunResult(
        status="ok",
        base=opened.base.name,
        origin=Origin(
            fingerprint=opened.base.fingerprint,
            source=opened.base.source,
            licence=opened.base.licence,
            note=opened.base.note,
        ),
        method=opened.recipe.method.kind,
        objective=opened.recipe.objective.kind,
        parameters=Parameters(trainable=counts[0], total=counts[1]),
        train=Training(
            steps=fitted.steps,
            examples=fitted.examples,
            tokens=fitted.tokens,
            trained_tokens=fitted.trained_tokens,
            seconds=fitted.seconds,
            tokens_per_second=fitted.tokens / fitted.seconds if fitted.seconds else 0.0,
            peak_memory_bytes=peak_memory(opened.device),
        ),
        evaluation=Evaluated.model_validate({k: found[k] for k in Evaluated.model_fields}) if found else None,
        artifact=artifact,
        proof={name: check.passed for name, check in checks.items()},
        chosen={key: Chosen(**choice) for key, choice in opened.choices.items()},
        environment=environment(opened.device, opened.probe.precision),
        notes=show.notes,
    )
