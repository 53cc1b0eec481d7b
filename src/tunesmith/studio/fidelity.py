"""Fidelity of a run on pictures of one subject: four suites, asked of base and tuned model on the same noise.

Written as the suites of texts are, to `suites.json` and `suites.html`, with grids of what was judged.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from tunesmith.catalogue.entries import is_data
from tunesmith.catalogue.fetch import fetch, is_here
from tunesmith.core.errors import UserError, near
from tunesmith.core.files import write_bytes
from tunesmith.evaluate.config import Evaluate
from tunesmith.evaluate.family import Gathered, judged
from tunesmith.fidelity.settings import settings_of
from tunesmith.models.seeing import Encoder, efficientnet, from_folder
from tunesmith.objectives.dreambooth import DreamBooth
from tunesmith.pictures.folder import places
from tunesmith.pictures.read import colour_of, over, read_picture
from tunesmith.recipe import Recipe
from tunesmith.report.suites import MetricFound, SuiteFound, SuitesFound, read_suites
from tunesmith.report.suites_page import write_page
from tunesmith.studio.grid import as_png, grid
from tunesmith.studio.likeness import Asked, copies, subject
from tunesmith.studio.obedience import prompts
from tunesmith.studio.preservation import of_class
from tunesmith.studio.sides import FOLDER, SIDES, PictureSides

ENCODER = "efficientnet-lite0"
SUITES: dict[str, tuple[str, Callable[[Asked], tuple[Gathered, dict[str, Any]]]]] = {
    "subject": (
        "is it the subject: likeness, between another of its class (0) and two real pictures of it (1)",
        subject,
    ),
    "prompts": ("does a picture show what was asked for: by pixels, and by the base itself", prompts),
    "class": ("is the class of the subject still what it was", of_class),
    "copies": ("is what is painted only a picture that was shown in training", copies),
}
"""What each is about, and what measures it."""


def missing_encoder() -> str | None:
    """-> why nothing can be judged, or None."""
    if is_here(ENCODER):
        return None
    return f"the encoder that judges is not here; run `tunesmith bases --get {ENCODER}` (17 MB)"


def chosen(names: Sequence[str]) -> list[str]:
    """-> the suites that are meant, in their order. UserError for one that there is not."""
    for name in names:
        if name not in SUITES and name != "all":
            known = ", ".join(SUITES)
            raise UserError(f"--suite {name}: no such suite of pictures{near(name, SUITES)}; there are {known} and all")
    return [name for name in SUITES if name in names or "all" in names or not names]


def measured(
    sides: PictureSides, names: Sequence[str], of: Mapping[str, str], margin: float = 0.05
) -> dict[str, SuiteFound]:
    """Ask the suites `names`, and write what is known of this very artifact. -> what they found.

    UserError where the run has no subject, where its pictures are too few, and where the encoder is not here.
    """
    if (why := missing_encoder()) is not None:
        raise UserError(why)
    asked = asked_of(sides, margin)
    before = read_suites(sides.run)
    found = before if before is not None and before.run == of else SuitesFound(run=dict(of))
    for name in names:
        told = _asked(name, asked)
        if told.metrics:
            found.suites[name] = told
            found.write(sides.run)
        else:
            found.suites.pop(name, None)
            sides.show.say(f"suite {name}: too few prompts or pictures to ask anything; give more evaluate.prompts")
    write_page(sides.run, found)
    return {name: found.suites[name] for name in names if name in found.suites}


def at_the_end(sides: PictureSides, recipe: Recipe) -> dict[str, MetricFound]:
    """-> what all suites find in a run that has just learned a subject, by `suite.metric`; what is missing is said.

    A subject that cannot be judged is no failure of the run.
    """
    config = recipe.evaluate
    if not (config.enabled and config.fidelity_pictures and isinstance(recipe.objective, DreamBooth)):
        return {}
    if (why := missing_encoder()) is not None:
        sides.show.say(f"the subject was not judged: {why}, then `tunesmith evaluate {sides.run}`")
        return {}
    try:
        return flat(measured(sides, list(SUITES), identity(recipe, sides.artifact)))
    except UserError as error:
        sides.show.say(f"the subject was not judged: {error}")
        return {}


def flat(found: Mapping[str, SuiteFound]) -> dict[str, MetricFound]:
    """-> by `suite.metric`"""
    return {f"{name}.{key}": metric for name, suite in found.items() for key, metric in suite.metrics.items()}


def identity(recipe: Recipe, artifact: str) -> dict[str, str]:
    """-> what `suites.json` is about."""
    return {"base": recipe.base, "artifact_sha256": artifact, "recipe": recipe.fingerprint}


def _asked(name: str, asked: Asked) -> SuiteFound:
    about, find = SUITES[name]
    family, tables = find(asked)
    metrics = {key: MetricFound(**told) for key, told in judged(family.found).items()}
    items = max((metric.n for metric in metrics.values()), default=0)
    shown = _grids(asked) if name == "subject" else {}
    return SuiteFound(about=about, items=items, metrics=metrics, tables=tables, notes=NOTES[name], pictures=shown)


NOTES = {
    "subject": [
        "what stands before a plain background is cut out and put on white to be compared: the scale speaks of the "
        "thing, the suite `prompts` of what is around it",
        "the ends of the scale are taken as they are; intervals are over prompts, with other noise for each prompt",
    ],
    "prompts": [
        "prompt_found asks the base itself, which is at home in its own pictures: read the change, not the level"
    ],
    "class": ["drift is 0 for the base by its meaning; it tells how far, not whether, the class moved"],
    "copies": ["whole pictures are compared here, what is behind included"],
}


def asked_of(sides: PictureSides, margin: float = 0.05) -> Asked:
    """-> what is asked of this run. UserError where it learned no single subject."""
    opened = sides.opened
    objective, config = opened.objective, opened.recipe.evaluate
    if not isinstance(objective, DreamBooth):
        raise UserError(
            f"objective {opened.recipe.objective.kind}: learned no single subject, and these suites ask about one"
        )
    edge = opened.recipe.pictures.size or opened.base.size
    distinct = {p.sha256: p.path for p in (*opened.prepared.train, *opened.prepared.validation)}
    background = opened.recipe.pictures.background
    behind = "white" if background == "random" else background
    settings = settings_of(objective.prompt, objective.class_prompt, config.prompts)
    each = max(1, config.fidelity_pictures)
    real = loaded([*distinct.values()], edge, behind)
    others = None if config.others is None else _others(config.others, edge, behind)
    weights = fetch(ENCODER, allow_download=False, say=sides.show.say)
    return Asked(sides, settings, each, real, others, efficientnet(weights), _more(config), margin)


def _others(name: str, edge: int, behind: str) -> np.ndarray:
    folder = str(fetch(name, allow_download=False)) if is_data(name) else name
    found = [place.path for place in places([folder])]
    if not found:
        raise UserError(f"evaluate.others: no picture in {name}")
    return loaded(found, edge, behind)


def _more(config: Evaluate) -> list[Encoder]:
    return [from_folder(Path(name)) for name in config.encoders]


def loaded(paths: Sequence[Path], edge: int, behind: str = "white") -> np.ndarray:
    """-> (N, edge, edge, 3): the middle of each picture, over a colour where it is transparent."""
    whole = (over(read_picture(path).image, colour_of(behind)) for path in paths)
    fitted = [ImageOps.fit(image, (edge, edge), Image.Resampling.LANCZOS) for image in whole]
    return np.stack([np.asarray(image.convert("RGB")) for image in fitted])


def _grids(asked: Asked) -> dict[str, str]:
    """-> path in the run folder by what it shows: the real pictures, and a row for each prompt."""
    made = {"real": grid(asked.real, columns=len(asked.real))}
    made |= {side: grid(some, columns=asked.each * 4) for side, some in zip(SIDES, asked.pictures(), strict=True)}
    for name, picture in made.items():
        write_bytes(asked.sides.run / FOLDER / f"{name}.png", as_png(picture, {"prompts": json.dumps(asked.prompts)}))
    return {_TITLES[name]: f"{FOLDER}/{name}.png" for name in made}


_TITLES = {"real": "real pictures", "base": "base", "tuned": "tuned"}
