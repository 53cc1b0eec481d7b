"""`tunesmith generate`: what base and tuned model answer, one prompt or a file of them."""

import json
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunesmith.cli.drawing import MinP, Penalty, Schema, Seed, Stop, Temperature, Tokens, TopK, TopP, drawing
from tunesmith.cli.stack import Insist, With, put_over

if TYPE_CHECKING:
    from tunesmith.loaded import Loaded, Prompt
    from tunesmith.models.sampling import Sampling


class Adapter(StrEnum):
    """Which side answers."""

    on = "on"
    off = "off"
    both = "both"


NAMES = {"on": "tuned", "off": "base"}
Model = Annotated[
    str, typer.Argument(metavar="RUN|BASE", help="A run folder, an adapter, or a base.", show_default=False)
]


TEXT_ONLY = (
    "system", "over", "insist", "max_tokens", "temperature", "top_k", "top_p", "min_p", "penalty", "stop", "schema",
    "source", "as_json",
)  # fmt: skip
PICTURE_ONLY = ("count", "steps", "guidance")


def generate(
    context: typer.Context,
    model: Model,
    prompt: Annotated[str | None, typer.Option(help="A question; - reads one from each line of stdin.")] = None,
    system: Annotated[str | None, typer.Option(help="A system message.")] = None,
    adapter: Annotated[Adapter, typer.Option(help="The tuned model, the base, or one after the other.")] = Adapter.on,
    over: With = None,
    insist: Insist = False,
    max_tokens: Tokens = 256,
    temperature: Temperature = 0.0,
    top_k: TopK = None,
    top_p: TopP = 1.0,
    min_p: MinP = 0.0,
    penalty: Penalty = 1.0,
    seed: Seed = 0,
    stop: Stop = None,
    schema: Schema = None,
    source: Annotated[
        Path | None, typer.Option("--input", help="Rows with `prompt` (and `system`) or `messages`: .jsonl, .csv, ...")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Write the answers to this new .jsonl file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    count: Annotated[int, typer.Option(min=1, help="Of an image model: how many pictures.")] = 1,
    steps: Annotated[int, typer.Option(min=1, help="Of an image model: steps of sampling.")] = 25,
    guidance: Annotated[float, typer.Option(min=0, help="Of an image model: how much the prompt counts.")] = 4.0,
) -> None:
    """Write answers, or paint pictures to the folder --output, with the adapter on or off."""
    from tunesmith.cli.painting import is_picture_model, write_pictures

    painting = is_picture_model(model)
    _refuse_unread(context, TEXT_ONLY if painting else PICTURE_ONLY, painting)
    if painting:
        if prompt is None:
            raise _missing_prompt()
        write_pictures(
            model, prompt, count=count, seed=seed, output=output, adapter=adapter.value, steps=steps, guidance=guidance
        )
        return
    _refuse_odd(prompt, source, output)
    prompts = _asked(prompt, source, system)
    sampling = drawing(
        schema, stop, tokens=max_tokens, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p,
        repetition_penalty=penalty, seed=seed,
    )  # fmt: skip

    from tunesmith.cli.ending import to_stderr
    from tunesmith.loaded import load

    loaded = load(model, say=to_stderr)
    put_over(loaded, over, insist)
    sides = _sides(loaded, adapter)
    if output is not None:
        _write(output, loaded, prompts, sides, sampling)
    elif as_json or source is not None:
        for line in _lines(loaded, prompts, sides, sampling):
            print(line, flush=True)
    else:
        _stream(loaded, prompts, sides, sampling)


def _refuse_unread(context: typer.Context, names: tuple[str, ...], painting: bool) -> None:
    """UserError for an option that the kind of model does not read."""
    from tunesmith.core.errors import UserError

    flags = {parameter.name: max(parameter.opts, key=len) for parameter in context.command.params}
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name not in ("DEFAULT", "DEFAULT_MAP"):
            kind = "makes pictures" if painting else "writes text"
            raise UserError(f"{flags[name]}: not read by a model that {kind}; remove it")


def _missing_prompt() -> Exception:
    from tunesmith.core.errors import UserError

    return UserError('--prompt: missing; say what to paint, for example --prompt "a red ball"')


def _refuse_odd(prompt: str | None, source: Path | None, output: Path | None) -> None:
    from tunesmith.core.errors import UserError

    if (prompt is None) == (source is None):
        raise UserError("generate: give one of --prompt and --input")
    if output is not None and output.exists():
        raise UserError(f"{output}: exists already; choose another file or remove it")


def _sides(loaded: "Loaded", adapter: Adapter) -> list[Any]:
    """-> `on`, `off`, or both, the base first."""
    from tunesmith.core.errors import UserError

    if not loaded.has_sides and adapter is Adapter.both:
        raise UserError(f"--adapter both: {loaded.name} is a base, nothing is attached to it; name a run")
    return ["off", "on"] if adapter is Adapter.both else [adapter.value]


def _asked(prompt: str | None, source: Path | None, system: str | None) -> list["Prompt"]:
    from tunesmith.core.errors import UserError

    if source is not None:
        return _read(source, system)
    texts = [line.strip() for line in sys.stdin] if prompt == "-" else [prompt or ""]
    texts = [text for text in texts if text.strip()]
    if not texts:
        raise UserError("--prompt: empty")
    return [_with_system(text, system) for text in texts]


def _with_system(text: str, system: str | None) -> "Prompt":
    if system is None:
        return text
    return [{"role": "system", "content": system}, {"role": "user", "content": text}]


def _read(source: Path, system: str | None) -> list["Prompt"]:
    from tunesmith.core.errors import UserError
    from tunesmith.data.rows import read_rows

    found: list[Prompt] = []
    for row in read_rows(source):
        turns, text = row.values.get("messages"), row.values.get("prompt")
        if isinstance(turns, list) and all(isinstance(turn, dict) for turn in turns):
            found.append(turns)
        elif isinstance(text, str) and text.strip():
            found.append(_with_system(text, row.values.get("system") or system))
        else:
            raise UserError(
                f"{row.place}: needs a text `prompt` or a list `messages`, and has {', '.join(map(repr, row.values))}"
            )
    return found


def _lines(loaded: "Loaded", prompts: list["Prompt"], sides: list[Any], sampling: "Sampling") -> Iterator[str]:
    """One JSON object for each prompt: {"prompt", "tuned" or "base" or both}."""
    written = [loaded.generate_all(prompts, adapter=side, sampling=sampling) for side in sides]
    names = [NAMES[side] if loaded.has_sides else "base" for side in sides]
    for prompt, *answers in zip(prompts, *written, strict=True):
        yield json.dumps({"prompt": prompt, **dict(zip(names, answers, strict=True))}, ensure_ascii=False)


def _write(output: Path, loaded: "Loaded", prompts: list["Prompt"], sides: list[Any], sampling: "Sampling") -> None:
    from tunesmith.core.files import writing

    with writing(output), output.open("x", encoding="utf-8") as file:
        for line in _lines(loaded, prompts, sides, sampling):
            file.write(line + "\n")
            file.flush()
    print(f"{output}: {len(prompts)} answers")


def _stream(loaded: "Loaded", prompts: list["Prompt"], sides: list[Any], sampling: "Sampling") -> None:
    for prompt in prompts:
        for side in sides:
            if len(sides) > 1:
                print(f"{NAMES[side]}: ", end="")
            for piece in loaded.stream(prompt, adapter=side, sampling=sampling):
                print(piece, end="", flush=True)
            print(flush=True)
