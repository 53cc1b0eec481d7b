"""A run again without some rows: the same recipe, all other rows in the part that they were in."""

from pathlib import Path

from tunesmith.core.errors import UserError
from tunesmith.data.index import read_index
from tunesmith.data.prepare import gather
from tunesmith.erasure.touched import Touched
from tunesmith.opening import with_paths
from tunesmith.recipe import Recipe, make_recipe
from tunesmith.run import run
from tunesmith.show import Show


def place_of(touched: Touched) -> Path:
    """-> the folder of the run without the rows. The same rows give the same name, so that the command can go on."""
    short = sorted(touched.digests)[0][:8]
    return touched.run.with_name(f"{touched.run.name}-without-{short}")


def recipe_without(touched: Touched) -> Recipe:
    values = touched.recipe.model_dump()
    excluded = tuple(sorted({*touched.recipe.texts.exclude, *touched.digests}))
    values["data"] |= {"exclude": excluded}
    return make_recipe(values | {"output": str(place_of(touched))})


def refuse_moved(touched: Touched) -> None:
    """UserError when more than these rows would change: the two runs would differ by more than what was forgotten."""
    recipe, before = recipe_without(touched), read_index(touched.run)
    data = with_paths(recipe, lambda line: None).texts
    now = gather(data, recipe.allow_download, recipe.objective.eats, recipe.objective.ending).digests
    if before is None:
        return
    for part, rows in before.items():
        if set(rows) - touched.digests != set(now.get(part, [])):
            raise UserError(
                f"{touched.run}: the files of its recipe have changed, and other rows would move into or out of the "
                f"{part} part; put them back as they were, or train a new run"
            )


def retrain(touched: Touched, show: Show) -> Path:
    """Train the run without the rows. -> its folder. The same call goes on where an earlier one was stopped."""
    refuse_moved(touched)
    recipe = recipe_without(touched)
    run(recipe, show)
    return recipe.folder
