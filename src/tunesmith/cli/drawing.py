"""Options that say how an answer is drawn and where it ends."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tunesmith.models.sampling import Sampling

Tokens = Annotated[int, typer.Option("--max-tokens", min=1, help="The longest answer.")]
Temperature = Annotated[float, typer.Option(min=0, help="0 takes the likeliest token; 1 draws as the model says.")]
TopK = Annotated[int | None, typer.Option(min=1, help="Draw from so many likeliest tokens.", show_default="all")]
TopP = Annotated[float, typer.Option(min=0.01, max=1, help="Draw from the likeliest tokens that hold so much.")]
MinP = Annotated[float, typer.Option(min=0, max=1, help="Draw from tokens so likely, as a share of the likeliest.")]
Penalty = Annotated[
    float, typer.Option("--repetition-penalty", min=0.01, help="Above 1: what was said becomes less likely.")
]
Seed = Annotated[int, typer.Option(min=0, help="The same seed draws the same answer.")]
Stop = Annotated[list[str] | None, typer.Option(help="A text that ends an answer and is cut off; may be given again.")]
Schema = Annotated[Path | None, typer.Option(help="A file with a JSON schema that each answer must fit.")]


def drawing(schema: Path | None = None, stop: list[str] | None = None, **how: Any) -> "Sampling":
    """-> the fields of `Sampling` as options give them. Raises UserError for what means nothing, or changes nothing."""
    from tunesmith.core.errors import UserError
    from tunesmith.models.sampling import Sampling

    if not all(stop or ()):
        raise UserError("--stop: an empty text stands everywhere; give the text that ends an answer")
    sampling = Sampling(**how, stop=tuple(stop or ()), schema=None if schema is None else read_schema(schema))
    unused = [("--top-k", sampling.top_k is not None), ("--top-p", sampling.top_p < 1), ("--min-p", sampling.min_p > 0)]
    for option, given in unused:
        if given and sampling.greedy:
            raise UserError(f"{option}: at a temperature of 0 the likeliest token is taken anyway; give --temperature")
    return sampling


def read_schema(path: Path) -> dict[str, Any]:
    """-> the JSON schema in a file. Raises UserError when there is none."""
    from tunesmith.core.errors import UserError
    from tunesmith.models.constrained import compiled

    try:
        found = json.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise UserError(f"--schema {path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"--schema {path}: not JSON ({str(error)[:120]})") from error
    try:
        compiled(found)
    except UserError as error:
        raise UserError(f"--schema {path}: {error}") from error
    return dict(found)
