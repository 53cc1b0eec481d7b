"""`tunesmith quickstart`: the demo, from nothing to evidence."""

from importlib.resources import as_file, files
from typing import Annotated

import typer

RECIPE = "smollm2-lora-drug-reviews.yaml"


def quickstart(
    output: Annotated[str | None, typer.Option(help="The run folder.", show_default="runs/quickstart")] = None,
) -> None:
    """Fine-tune a small chat model on 600 drug reviews: six to ten minutes on two cores, downloads included."""
    from tunesmith.cli.ending import print_ending
    from tunesmith.cli.given import made

    with as_file(files("tunesmith") / "recipes" / RECIPE) as path:
        recipe = made(path, (), output=output)

    from tunesmith.catalogue.fetch import fetch
    from tunesmith.run import run

    for name in (recipe.base, *recipe.data.sources):  # what the run itself must not do
        fetch(name, allow_download=True)

    print(f"recipe: {RECIPE}; yours would be `tunesmith train --data FILE`")
    print_ending(recipe.folder, run(recipe))
