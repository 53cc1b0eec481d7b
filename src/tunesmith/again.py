"""Measure a finished run again: the base against what the run made, on its test part or on other rows."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from tunesmith.attached import attach_adapter
from tunesmith.catalogue.fetch import default_cache
from tunesmith.core.errors import UserError
from tunesmith.core.files import RunLock, make_folder
from tunesmith.ends import face
from tunesmith.loaded import finished_run
from tunesmith.models.load import Place, load_base
from tunesmith.opening import Opened, open_base, open_source
from tunesmith.recipe import Recipe
from tunesmith.report.document import Evaluated, RunResult
from tunesmith.report.folder import RunFiles
from tunesmith.report.html import write_report
from tunesmith.show import Show
from tunesmith.stages import measure

OTHER = "evaluation"  # the folder, in the run's, of what was measured on other rows


def measure_again(run: Path, data: str | None, show: Show) -> dict[str, Any]:
    """-> the content of evaluation.json.

    On the run's own test part (`data` is None) evaluation.json, examples.json, result.json and the report of the run
    are renewed. What is measured on other rows is written to `evaluation/<name of the file>/` in the run folder: the
    run's own evidence stays as it is.
    """
    recipe, artifact = finished_run(run)
    with RunLock(run):
        source = open_source(measured_on(recipe, data), show.say)
        show.all(source.prepared.said)
        if not source.prepared.test:
            raise UserError(f"{run}: the run has no test rows; name some with --data")
        if data is None and RunFiles.read(run).data.get("mask_sha256") != source.prepared.facts["mask_sha256"]:
            show.say("warning: the rows have changed since the run; some test rows may have been trained on")
        opened = open_tuned(open_base(source, run, show.say), artifact, show)
        place = place_of(run, data)
        make_folder(place)
        found = measure(opened, face(opened.base.network), place, show)
        assert found is not None, "there are test rows, and measuring is on"
        if data is None:
            _renew(run, found.document())
        return found.document()


def place_of(run: Path, data: str | None) -> Path:
    """-> where the numbers of other rows go, or the run folder itself."""
    return run if data is None else run / OTHER / Path(data).stem


def measured_on(recipe: Recipe, data: str | None) -> Recipe:
    """-> the recipe with other test rows, where there are any, and with measuring on."""
    other = {} if data is None else {"test": data}
    return recipe.model_copy(
        update={
            "data": recipe.texts.model_copy(update=other),
            "evaluate": recipe.evaluate.model_copy(update={"enabled": True}),
        }
    )


def open_tuned(opened: Opened, artifact: Path, show: Show) -> Opened:
    """The same with the network that the run made in the place of the base's."""
    base = opened.base
    if opened.recipe.method.kind == "full":
        dtype = opened.probe.dtype
        place, head = Place(base.name, artifact), opened.head
        whole = load_base(place, dtype=dtype, cache=default_cache(), say=show.say, head=head).network
        return replace(opened, base=replace(base, network=whole.to(opened.device)))
    attach_adapter(base.network, artifact, fingerprint=base.fingerprint)
    return opened


def _renew(run: Path, found: dict[str, Any]) -> None:
    evaluation = Evaluated.model_validate({key: found[key] for key in Evaluated.model_fields})
    RunResult.read(run).model_copy(update={"evaluation": evaluation}).write(run)
    write_report(run)
