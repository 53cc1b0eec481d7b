"""A sweep from what was asked to its page and the best recipe; the same call goes on where an earlier one stopped."""

from collections.abc import Callable
from pathlib import Path

from tunesmith.core.errors import UserError
from tunesmith.opening import run_folder
from tunesmith.report.sweep import Axis, Best, Sweep, SweepTrial
from tunesmith.report.sweep_page import write_page
from tunesmith.sweep.asked import Asked
from tunesmith.sweep.course import BEST, Course
from tunesmith.sweep.study import ENDINGS


def sweep(asked: Asked, say: Callable[[str], None] = print, folder: Path | None = None) -> Sweep:
    """Run what is missing, and write `sweep.json`, `sweep.html` and `best.yaml` into the sweep's folder.

    Raises UserError where nothing can be tried or no trial could be finished, and Interrupted: what is done stays done.
    """
    folder = folder or asked.folder
    with run_folder(folder):
        asked.claim(folder)
        course = Course(asked, folder, say)
        try:
            course.run()
        except UserError:
            course.forget()
            raise
        found = _document(asked, course)
        found.write(folder)
        write_page(folder, found)
        return found


def _document(asked: Asked, course: Course) -> Sweep:
    best, sign = course.best, 1 if asked.metric == "loss" else -1
    recipe = asked.recipe_of(best.params)
    assert best.value is not None, "it came to its end"
    trials = [
        SweepTrial(
            number=trial.number,
            values=trial.params,
            ending=ENDINGS[trial.state],
            result=None if trial.value is None or ENDINGS[trial.state] != "finished" else sign * trial.value,
            validations=[sign * value for _, value in sorted(trial.intermediate_values.items())],
            why=trial.user_attrs.get("why", ""),
            seconds=trial.user_attrs.get("seconds", 0.0),
        )
        for trial in course.study.ended
    ]
    tested = next((one for one in course.tested if one["trial"] == best.number), None)
    return Sweep(
        base=recipe.base,
        data=", ".join(recipe.data.sources),
        method=recipe.method.kind,
        objective=recipe.objective.kind,
        metric=asked.metric,
        higher_is_better=sign < 0,
        axes=_axes(asked),
        trials=trials,
        best=Best(
            trial=best.number,
            values=best.params,
            result=sign * best.value,
            recipe=BEST,
            run=str(course.place(best.number).relative_to(course.folder)),
        ),
        importance=course.study.importance(),
        evaluation=tested["evaluation"] if tested else None,
        tested=len(course.tested),
        seconds=sum(trial.seconds for trial in trials),
        notes=course.notes,
    )


def _axes(asked: Asked) -> list[Axis]:
    return [
        Axis(key=one.key, space=text, choices=list(one.choices))
        if one.choices
        else Axis(key=one.key, space=text, low=one.low, high=one.high, log=one.log)
        for one, text in zip(asked.dimensions, asked.space, strict=True)
    ]
