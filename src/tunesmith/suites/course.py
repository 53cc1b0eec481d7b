"""Suites over a finished run, one after the other: what was found is on the disk after each of them."""

from dataclasses import dataclass
from pathlib import Path

from tunesmith.again import measure_again, measured_on, open_tuned, place_of
from tunesmith.catalogue.fetch import is_here
from tunesmith.core.errors import UserError, near
from tunesmith.core.files import RunLock, make_folder, write_text
from tunesmith.data.encode import Encoder
from tunesmith.data.rows import fingerprint
from tunesmith.ends import face
from tunesmith.loaded import finished_run
from tunesmith.opening import open_base, open_source
from tunesmith.recipe import Recipe
from tunesmith.release.papers import write_papers
from tunesmith.report.document import RunResult
from tunesmith.report.suites import SuitesFound, read_suites
from tunesmith.report.suites_page import write_page
from tunesmith.show import Show
from tunesmith.suites import SUITES
from tunesmith.suites import task as own
from tunesmith.suites.sides import Sides
from tunesmith.suites.slices import sliced
from tunesmith.suites.subject import Subject
from tunesmith.suites.suite import Suite, Unfit

ALL = "all"
OF_ITEMS = ("task", "slices", "calibration")  # suites that read what the run's own evaluation left
MARK = "rows.sha256"  # of other rows, in their place


@dataclass(frozen=True, slots=True)
class Asked:
    """What stands on the command line."""

    suites: tuple[str, ...] = ()
    column: str | None = None
    data: str | None = None
    limit: int | None = None
    margin: float = 0.05

    @property
    def every(self) -> bool:
        return ALL in self.suites


def run_suites(run: Path, asked: Asked, show: Show) -> SuitesFound:
    """-> what all suites found that were ever asked of this run. Raises UserError for what cannot be asked.

    Written to `suites.json` and `suites.html` in the run folder, or in `evaluation/NAME/` for other rows.
    """
    recipe, artifact = finished_run(run)
    wanted = _chosen(asked, recipe, show)
    place = place_of(run, asked.data)
    if any(suite.name in OF_ITEMS for suite in wanted):
        _measure(run, place, asked.data, show)
    with RunLock(run):
        make_folder(place)
        found = _known(place, identity(run, recipe))
        if wanted == [own.SUITE]:  # no model is needed to read what was measured
            found.suites["task"] = own.told(place, asked.margin)
        else:
            subject = _subject(run, artifact, asked, show)
            if asked.column is not None:
                sliced(subject)  # refused before anything takes long
            for suite in wanted:
                _ask(suite, subject, found, asked, show)
        _told(run, place, found)
    return found


def _told(run: Path, place: Path, found: SuitesFound) -> None:
    """Write the numbers, their page, and the papers of the run, which repeat those of its own rows."""
    found.write(place)
    write_page(place, found)
    if place == run:
        write_papers(run)


def _measure(run: Path, place: Path, data: str | None, show: Show) -> None:
    """Have the test rows measured, unless these very ones were."""
    mark, now = place / MARK, None if data is None else fingerprint(data)
    known = mark.read_text(encoding="utf-8") if mark.is_file() else None
    if (place / own.EVALUATION).is_file() and known == now:
        return
    measure_again(run, data, show)
    if now is not None:
        write_text(mark, now)


def renew_task(run: Path, data: str | None, margin: float = 0.05) -> None:
    """The run's own test part was measured again: `suites.json` says so too."""
    recipe, _ = finished_run(run)
    place = place_of(run, data)
    with RunLock(run):
        found = _known(place, identity(run, recipe))
        found.suites["task"] = own.told(place, margin)
        _told(run, place, found)


def identity(run: Path, recipe: Recipe) -> dict[str, str]:
    artifact = RunResult.read(run).artifact
    assert artifact is not None, "a run that ended well has made something"
    return {"base": recipe.base, "artifact_sha256": artifact.sha256, "recipe": recipe.fingerprint}


def _chosen(asked: Asked, recipe: Recipe, show: Show) -> list[Suite]:
    """-> the suites that can be asked. What was named and cannot be is an error; of `all` it is left out and said."""
    _refuse_odd(asked)
    names = list(SUITES) if asked.every else [*dict.fromkeys((*asked.suites, *(["slices"] if asked.column else [])))]
    chosen = []
    for suite in (SUITES[name] for name in SUITES if name in names):
        why_not = _barred(suite, asked, recipe)
        if why_not is None:
            chosen.append(suite)
        elif asked.every:
            show.say(f"left out: {why_not}")
        else:
            raise UserError(why_not)
    return chosen


def _refuse_odd(asked: Asked) -> None:
    for name in asked.suites:
        if name not in SUITES and name != ALL:
            raise UserError(f"--suite {name}: no such suite{near(name, SUITES)}; there are {', '.join(SUITES)} and all")
    if asked.limit is not None and asked.limit < 1:
        raise UserError(f"--limit {asked.limit}: must be at least 1; a suite with no items says nothing")
    if not 0 < asked.margin < 1:
        raise UserError(f"--margin {asked.margin:g}: must be between 0 and 1, for example 0.02 for two points")


def _barred(suite: Suite, asked: Asked, recipe: Recipe) -> str | None:
    """-> why a suite cannot be asked, known before anything is opened."""
    if suite.name == "slices" and asked.column is None:
        return "slices: name a column of the rows with --slice"
    if suite.writes and recipe.objective.ending != "words":
        return f"{suite.name}: asks for text, and objective {recipe.objective.kind} makes a model that writes none"
    absent = next((name for name in suite.probes if not is_here(name)), None)
    if absent is not None:
        fetching = f"`tunesmith bases --get {absent}`"
        return f"{suite.name}: its questions are not here, and evaluate opens no connection; run {fetching}"
    return None


def _subject(run: Path, artifact: Path, asked: Asked, show: Show) -> Subject:
    recipe, _ = finished_run(run)
    source = open_source(measured_on(recipe, asked.data), show.say)
    opened = open_tuned(open_base(source, run, show.say), artifact, show)
    asking = recipe.texts.model_copy(update={"too_long": "refuse", "train_on": "assistant", "max_length": None})
    encoder = Encoder(asking, opened.base.tokenizer, opened.base.context)
    sides = Sides(opened, face(opened.base.network).eval(), encoder)
    place = place_of(run, asked.data)
    known = identity(run, recipe) | {"base": opened.base.fingerprint}
    return Subject(run, place, sides, show, known, asked.margin, asked.limit, asked.column)


def _known(place: Path, of: dict[str, str]) -> SuitesFound:
    """-> what was found before, of this very artifact."""
    before = read_suites(place)
    if before is not None and before.run == of:
        return before
    return SuitesFound(run=dict(of))


def _ask(suite: Suite, subject: Subject, found: SuitesFound, asked: Asked, show: Show) -> None:
    try:
        found.suites[suite.name] = suite.find(subject)
    except Unfit as error:
        if not asked.every:
            raise
        found.suites.pop(suite.name, None)
        show.say(f"left out: {error}")
    _told(subject.run, subject.place, found)
