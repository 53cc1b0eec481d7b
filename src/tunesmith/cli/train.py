"""`tunesmith train`: from a recipe to a proven adapter."""

from typing import Annotated

import typer

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RECIPE|KEY=VALUE",
        help="A recipe file (.yaml), and keys of it by their dotted names, such as method.rank=8 or train.epochs=3.",
        show_default=False,
    ),
]
Base = Annotated[
    str | None, typer.Option(help="A name of the catalogue, a folder of safetensors, a GGUF file or a hub id.")
]

METHODS = (
    "lora", "full", "rslora", "dora", "loraplus", "pissa", "eva", "loha", "lokr", "qlora", "ia3", "prefix", "prompt",
    "ptuning", "bottleneck", "bitfit", "token", "last-layers",
)  # fmt: skip
"""As in `methods.names`, which would load torch for a help text; a test holds them equal."""
Method = Annotated[
    str | None, typer.Option(metavar="NAME", help=f"One of {', '.join(METHODS)}.", show_default=METHODS[0])
]


OBJECTIVES = (
    *("sft", "dpo", "ipo", "kto", "orpo", "simpo", "reward", "classify", "regress", "grpo", "rloo", "ppo", "distill"),
    *("denoise", "dreambooth", "textual-inversion", "diffusion-dpo"),
)
"""As in `objectives`; a test holds them equal."""
Objective = Annotated[
    str | None, typer.Option(metavar="NAME", help=f"One of {', '.join(OBJECTIVES)}.", show_default=OBJECTIVES[0])
]


def train(
    words: Words = None,
    base: Base = None,
    data: Annotated[str | None, typer.Option(help="A file of examples, or a name of the catalogue.")] = None,
    method: Method = None,
    objective: Objective = None,
    output: Annotated[str | None, typer.Option(help="The run folder. Without it one below runs/.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print result.json; all else goes to stderr.")] = False,
) -> None:
    """Train, prove and measure. The same command goes on where an earlier one was stopped."""
    from tunesmith.cli.given import recipe_of

    given = {"base": base, "data": data, "method": method, "objective": objective, "output": output}
    recipe = recipe_of(words or (), **given)

    from tunesmith.cli.ending import print_ending, to_stderr
    from tunesmith.core.files import dump
    from tunesmith.run import run
    from tunesmith.show import Show

    result = run(recipe, Show(to_stderr if as_json else None))
    if as_json:
        print(dump(result.model_dump(mode="json")), end="")
    else:
        print_ending(recipe.folder, result)
