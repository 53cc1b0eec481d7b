"""`tunesmith quickstart`: the demo, from nothing to evidence."""

from enum import StrEnum
from importlib.resources import as_file, files
from typing import Annotated

import typer


class Medium(StrEnum):
    """What is learned."""

    text = "text"
    image = "image"


RECIPES = {
    Medium.text: "smollm2-lora-drug-reviews.yaml",
    Medium.image: "emoji-diffusion-dreambooth-cat.yaml",
}
YOURS = {
    Medium.text: "tunesmith train --data FILE",
    Medium.image: "tunesmith train --base emoji-diffusion --data FOLDER objective.kind=dreambooth ...",
}


def quickstart(
    medium: Annotated[Medium, typer.Argument(metavar="text|image", help="What is learned.")] = Medium.text,
    output: Annotated[
        str | None, typer.Option(help="The run folder.", show_default="runs/quickstart or runs/quickstart-image")
    ] = None,
) -> None:
    """Fine-tune a small chat model on 600 drug reviews, or a small image model on six pictures of one cat.

    Each takes six to ten minutes on two cores, downloads included.
    """
    from tunesmith.cli.ending import print_ending
    from tunesmith.cli.given import made

    with as_file(files("tunesmith") / "recipes" / RECIPES[medium]) as path:
        recipe = made(path, (), output=output)

    from tunesmith.catalogue.fetch import fetch
    from tunesmith.run import run

    judges = ("efficientnet-lite0",) if medium is Medium.image else ()
    for name in (recipe.base, *recipe.data.sources, *judges):  # what the run itself must not do
        fetch(name, allow_download=True)

    print(f"recipe: {RECIPES[medium]}; yours would be `{YOURS[medium]}`")
    print_ending(recipe.folder, run(recipe))
