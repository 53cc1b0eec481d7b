"""From the words of a command to a recipe: `[RECIPE] [key=value ...]` and the options of the most used keys."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.cli.quiet import allow_hub
from tunesmith.core.errors import UserError

if TYPE_CHECKING:
    from tunesmith.recipe import Recipe

YAML = (".yaml", ".yml")


def told_apart(words: Sequence[str]) -> tuple[Path | None, list[str], list[str]]:
    """-> the recipe's path, the overrides, and what is neither."""
    overrides = [word for word in words if "=" in word]
    recipes = [word for word in words if "=" not in word and word.endswith(YAML)]
    others = [word for word in words if "=" not in word and not word.endswith(YAML)]
    if len(recipes) > 1:
        raise UserError(f"two recipes, {recipes[0]} and {recipes[1]}: give one")
    return Path(recipes[0]) if recipes else None, overrides, others


def recipe_of(words: Sequence[str], **given: Any) -> "Recipe":
    """The recipe that a command describes. `given`: options, None where they were not."""
    path, overrides, others = told_apart(words)
    if others:
        raise UserError(f"`{others[0]}` is neither a recipe (a .yaml file) nor key=value; name data with --data")
    return made(path, overrides, **given)


def made(path: Path | None, overrides: Sequence[str], **given: Any) -> "Recipe":
    """`tunesmith.recipe.read_recipe`, with the network open when the recipe allows it."""
    from tunesmith.recipe import read_recipe

    recipe = read_recipe(path, overrides, **given)
    if recipe.allow_download:
        allow_hub()
    return recipe
