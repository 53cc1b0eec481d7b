"""One job of a comparison: `python -m tunesmith.compare` reads it as JSON and writes a line of JSON at the end.

Jobs: `base` measures the base, `probe` tries learning rates, `train` is a run, `latency` times what a run made.
"""

import time
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import psutil

from tunesmith.compare import pictures
from tunesmith.compare.latency import latency
from tunesmith.core.errors import UserError
from tunesmith.core.order import steps_per_epoch
from tunesmith.ends import face
from tunesmith.environment import environment
from tunesmith.evaluate.items import read_items, write_items
from tunesmith.evaluate.metrics import of_task
from tunesmith.evidence import Questions, measured
from tunesmith.job import serve
from tunesmith.methods.inject import parameter_counts
from tunesmith.opening import Opened, open_base, open_source, own_rate
from tunesmith.probing.rates import Size, try_rates
from tunesmith.probing.trial import Probe
from tunesmith.recipe import Recipe, make_recipe
from tunesmith.rehearsal.questions import Asking
from tunesmith.run import run
from tunesmith.show import Show
from tunesmith.stages import attach

FEWEST = 20  # test rows, however little time there is
TIMED = 3  # steps, of which the first is not counted


def base(asked: dict[str, Any]) -> dict[str, Any]:
    """Measure the base on the test part, or as much of it as fits into `seconds`; write its items to `folder`."""
    show, recipe = _quiet(), make_recipe(asked["recipe"])
    if recipe.objective.eats == "pictures":
        return pictures.measure_base(asked, _since_start())
    opened = _opened(recipe)
    model, prepared = face(opened.base.network).eval(), opened.prepared
    if not prepared.test:
        raise UserError("data: a comparison needs test rows; give data.test or a third part in data.split")
    if not prepared.validation:
        raise UserError("data: a comparison needs validation rows; give data.validation or a second part in data.split")
    questions, opening = Questions.of(prepared, opened.base.tokenizer, recipe.asked), _since_start()
    asking = Asking(opened, questions)
    if (seconds := asked.get("seconds")) is not None:
        each = asking.scoring(model, 1) + asking.answers(model, None)
        kept = _affordable(len(questions.items), each, seconds - asking.general(model))
        config = recipe.asked.model_copy(update={"items": kept})
        questions = Questions.of(prepared, opened.base.tokenizer, config)
    begin = time.perf_counter()
    with show.watch("measuring the base", questions.tokens) as seen:
        found = measured(model, opened.base.tokenizer, questions, opened.tokens_per_pass, seen)
    write_items(Path(asked["folder"]), {"base": found})
    train = recipe.train
    return {
        "precision": opened.probe.precision,
        "items": len(found.outcomes),
        "of": len(prepared.test_items if questions.labelled else prepared.test),
        "metric": of_task(found),
        "scoring": time.perf_counter() - begin,
        "opening": opening,
        "steps": train.steps(steps_per_epoch(len(prepared.train), train.batch_size)),
        "batch_size": train.batch_size,
        "rows": len(prepared.train),
        "validation": len(prepared.validation),
        "environment": environment(opened.device, opened.probe.precision),
    }


def _affordable(items: int, estimate: float, seconds: float) -> int:
    return max(min(items, FEWEST), min(items, int(items * seconds / estimate)))


def probe(asked: dict[str, Any]) -> dict[str, Any]:
    """Attach the method, time some steps, and try rates: as many as `size` says, or as fit into `seconds`."""
    show, recipe = _quiet(), make_recipe(asked["recipe"])
    if recipe.objective.eats == "pictures":
        return pictures.time_method(asked, _since_start())
    opened = _opened(recipe)
    model = face(opened.base.network, recompute=opened.recipe.train.recompute)
    attach(opened, model, _silent)
    opening, trying = _since_start(), Probe(opened, model, show)
    train = opened.recipe.train
    steps = train.steps(steps_per_epoch(len(opened.prepared.train), train.batch_size))
    trying.loss(own_rate(opened.recipe)["value"], min(TIMED, steps))
    step, validation = mean(trying.step_seconds[1:] or trying.step_seconds), mean(trying.validation_seconds)
    found = {
        "parameters": parameter_counts(opened.base.network),
        "opening": opening,
        "step": step,
        "validation": validation * len(opened.prepared.validation) / len(trying.held_out),
    }
    given = opened.recipe.train.learning_rate
    if given != "auto":
        return {**found, "choice": {"value": given, "reason": "given in the recipe of this method"}}
    size = Size.of(opened)
    if asked.get("size") is not None:
        rates, steps = asked["size"]
        size = replace(size.fewer(rates), steps=steps)
    elif asked.get("seconds") is not None:
        size = size.within(asked["seconds"], step, validation)
    if not size.rates:
        why = "the budget leaves no room for trying rates: the method's own"
        return {**found, "size": [0, 0], "choice": own_rate(opened.recipe) | {"reason": why}}
    with show.watch("trying learning rates", size.all_steps, "steps") as seen:
        choice = try_rates(trying, size, lambda _: seen.read(size.steps))
    return {**found, "size": [len(size.rates), size.steps], "choice": choice}


def train(asked: dict[str, Any]) -> dict[str, Any]:
    """An ordinary run, in its own folder, held against the base that was measured before."""
    result = run(make_recipe(asked["recipe"]), _quiet(), read_items(Path(asked["base"]), "base"))
    return {"status": result.status}


JOBS = {
    "base": base,
    "probe": probe,
    "train": train,
    "latency": lambda asked: latency(Path(asked["run"]), asked["tokens"], asked["rounds"]),
}


def _opened(recipe: Recipe) -> Opened:
    return open_base(open_source(recipe, _silent), None, _silent)


def _quiet() -> Show:
    """Bars and what is said beside them; the sentences of a run are in its folder."""
    return Show(_silent)


def _silent(line: str) -> None:
    pass


def _since_start() -> float:
    return max(0.0, time.time() - psutil.Process().create_time())


if __name__ == "__main__":
    serve(JOBS)
