"""One job of a sweep, `python -m tunesmith.sweep`: `look` at the rows, run a `trial`, or `test` the winner."""

from pathlib import Path
from typing import Any

import torch

from tunesmith.again import measure_again
from tunesmith.catalogue.fetch import default_cache
from tunesmith.core.errors import RunFailed, UserError
from tunesmith.core.files import make_folder
from tunesmith.job import serve
from tunesmith.models.diffusion.load import load_pipeline
from tunesmith.opening import open_source
from tunesmith.pictures.prepare import prepare as pictures
from tunesmith.recipe import make_recipe
from tunesmith.report.document import RunResult
from tunesmith.run import run
from tunesmith.show import Show, Training
from tunesmith.studio.opening import open_source as open_painter
from tunesmith.sweep.asked import Asked
from tunesmith.sweep.study import NAME, Study
from tunesmith.train.metrics import diary
from tunesmith.train.progress import Event


class Pruned(RunFailed):
    """A trial that is worse than the others were at the same place."""


class Judge:
    """Puts each validation into the journal, and ends a trial that is behind."""

    def __init__(self, study: Study, number: int, metric: str) -> None:
        self.study, self.number, self.metric = study, number, metric
        self.done = len(study.trial(number).intermediate_values)  # of a trial that goes on

    def __call__(self, event: Event) -> None:
        if self.metric not in event.values:
            raise RunFailed(f"the validation tells no {self.metric}, by which trials are ranked")
        self.done += 1
        value = worse(event.values[self.metric], self.metric)
        if self.study.report(self.number, self.done, value):
            said = f"{self.metric} {event.values[self.metric]:.4g} at validation {self.done}"
            raise Pruned(f"ended at step {event.step}: {said} is worse than the median of the trials there")


class Watched(Show):
    """A show whose validations are heard."""

    def __init__(self, judge: Judge) -> None:
        super().__init__(_silent)
        self.judge = judge

    def training(self, steps: int) -> Training:
        return _Heard(self, steps)


class _Heard(Training):
    def __init__(self, show: Watched, steps: int) -> None:
        super().__init__(show, steps)
        self._judge = show.judge

    def hear(self, event: Event) -> None:
        super().hear(event)
        if event.kind == "evaluated":
            self._judge(event)


def worse(value: float, metric: str) -> float:
    """-> a number of which less is better."""
    return value if metric == "loss" else -value


def look(asked: dict[str, Any]) -> dict[str, Any]:
    """What is there to judge by. UserError for what every trial would refuse."""
    recipe = make_recipe(asked["recipe"])
    if recipe.objective.eats == "pictures":
        base = load_pipeline(open_painter(recipe, _silent), dtype=torch.float32, cache=default_cache())
        config, prompt = recipe.pictures, getattr(recipe.objective, "prompt", None)
        found = pictures(config, size=config.size or base.size, multiple=base.multiple, prompt=prompt)
        parts = {
            "train": len(found.train),
            "validation": len(found.validation),
            "test": 0,
        }  # pictures have no test part
    else:
        prepared = open_source(recipe, _silent).prepared
        parts = {name: len(getattr(prepared, name)) for name in ("train", "validation", "test")}
    if not parts["validation"]:
        raise UserError(
            "data: trials are judged on validation rows, and there are none; give data.validation or a second part in "
            "data.split"
        )
    return parts


def trial(asked: dict[str, Any]) -> dict[str, Any]:
    """An ordinary run without the test part, judged on the way."""
    given, number, folder = Asked.model_validate(asked["asked"]), int(asked["trial"]), Path(asked["folder"])
    metric = given.metric
    study = Study(folder / NAME, given.dimensions, seed=0)
    recipe = given.recipe_of(study.trial(number).params, Path(asked["output"]), trial=True)
    make_folder(recipe.folder.parent)
    try:
        run(recipe, Watched(Judge(study, number, metric)))
    except Pruned as error:
        return {"ending": "pruned", "why": str(error)}
    validations = [line for line in diary(recipe.folder) if "validation_loss" in line]
    kept = min(validations, key=lambda line: float(line["validation_loss"]))  # the weights that the run ends with
    return {"ending": "finished", "value": worse(float(kept[f"validation_{metric}"]), metric)}


def test(asked: dict[str, Any]) -> dict[str, Any]:
    """The winner on the test rows. -> its evaluation as result.json holds it."""
    place = Path(asked["run"])
    measure_again(place, None, Show(_silent))
    found = RunResult.read(place).evaluation
    return {"evaluation": found.model_dump(mode="json") if found else None}


def _silent(line: str) -> None:
    pass


JOBS = {"look": look, "trial": trial, "test": test}

if __name__ == "__main__":
    serve(JOBS)
