"""`tunesmith adapters`: list, look into, combine and compare adapters, and draw one out of a tuned model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tunesmith.combine.extract import Extracted
    from tunesmith.combine.read import Parts
    from tunesmith.models.load import Base

HELP = "List adapters, look into them, combine and compare them, or draw one out of a tuned model."
SHORT = 12  # characters of an id
MATCH = {
    "same": "here, and the same",
    "different": "here, and another model than it was trained on",
    "unknown": "here; the adapter does not say which model of that name it was trained on",
    "not here": "not here",
}


Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Adapter = Annotated[Path, typer.Argument(metavar="ADAPTER", help="An adapter's folder, or a run.", show_default=False)]
Output = Annotated[Path, typer.Argument(metavar="OUTPUT", help="The new adapter's folder.", show_default=False)]


def list_(
    folder: Annotated[Path, typer.Argument(help="Where to look, with all folders below.")] = Path("."),
    as_json: Json = False,
) -> None:
    """Find the adapters and runs in a folder: what each is, and the base it belongs to."""
    from tunesmith.combine import listed
    from tunesmith.core.errors import UserError
    from tunesmith.core.files import dump

    found = list(listed(folder))
    whole = [one for one in found if not isinstance(one, UserError)]
    broken = [str(one) for one in found if isinstance(one, UserError)]
    if as_json:
        print(dump({"adapters": [_summary(one) for one in whole], "damaged": broken}), end="")
        return
    for line in _columns([_row(one) for one in whole]):
        print(line)
    for sentence in broken:
        print(f"damaged: {sentence}")
    if not found:
        print(f"{folder}: no adapter here or below")


def info(
    adapter: Adapter,
    base: Annotated[str | None, typer.Option(help="The base to compare with, when it lies elsewhere now.")] = None,
    as_json: Json = False,
) -> None:
    """Say all there is to know of an adapter, with the size of the update of each layer."""
    from tunesmith.combine import read
    from tunesmith.combine.belongs import base_match
    from tunesmith.combine.read import norms
    from tunesmith.core.files import dump
    from tunesmith.loaded import adapter_folder

    parts = read(adapter_folder(adapter))
    match, sizes = base_match(parts, base), norms(parts)
    if as_json:
        more = {"base_match": match, "described": parts.described, "norms": sizes}
        print(dump(_summary(parts) | more), end="")
        return
    for key, value in _summary(parts).items():
        print(f"{key:12}{value}")
    print(f"{'its base':12}{MATCH[match]}")
    print(f"\n{'size of the update' if parts.ranks else 'size of the tensor'} (Frobenius norm)")
    for name, norm in sizes.items():
        print(f"{norm:10.4f}  {name}")


def combine(
    adapters: Annotated[list[Path], typer.Argument(metavar="ADAPTER", help="Adapters or runs, one or more.")],
    output: Output,
    how: Annotated[
        str,
        typer.Option(
            metavar="WAY",
            help="svd and cat are sums of the updates, svd cut to a rank; linear, ties, dare_linear, dare_ties and "
            "magnitude_prune work on the factors, or with _svd behind their names on whole updates.",
        ),
    ] = "svd",
    weights: Annotated[str | None, typer.Option(help="One for each, as 1,0.5,-1.", show_default="all 1")] = None,
    density: Annotated[float | None, typer.Option(help="Of ties, dare and magnitude: the share that stays.")] = None,
    rank: Annotated[int | None, typer.Option(help="Of the result, with svd.", show_default="the largest")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of what dare leaves out.")] = 0,
    as_json: Json = False,
) -> None:
    """Make one LoRA of several: as PEFT's add_weighted_adapter, without opening the base."""
    from tunesmith.combine import Way
    from tunesmith.combine import combine as combined
    from tunesmith.core.files import dump
    from tunesmith.loaded import adapter_folder

    way = Way(how, _numbers(weights, len(adapters)), density, rank, seed)
    done = combined([adapter_folder(one) for one in adapters], output, way)
    if as_json:
        print(dump(_summary(done.parts) | {"lost": done.lost}), end="")
        return
    print(f"{output}: {'  '.join(_row(done.parts)[:-1])}")
    if done.lost is not None:
        print(f"the rank cuts off {done.lost:.2%} of the sum (Frobenius norm)")


def diff(first: Adapter, second: Adapter, as_json: Json = False) -> None:
    """Compare two adapters: base, layers, and how alike their updates are."""
    from dataclasses import asdict

    from tunesmith.combine import compare, read
    from tunesmith.core.files import dump
    from tunesmith.loaded import adapter_folder

    one, other = read(adapter_folder(first)), read(adapter_folder(second))
    found = compare(one, other)
    if as_json:
        print(dump({"first": _summary(one), "second": _summary(other), **asdict(found)}), end="")
        return
    for parts in (one, other):
        print("  ".join(_row(parts)))
    kinds = "of one kind" if found.same_kind else "of different kinds, so that layers are not compared"
    print("they are equal" if found.equal else f"they are {kinds}; base: {found.base}")
    for names, said in ((found.only_first, "only in the first"), (found.only_second, "only in the second")):
        for name in names:
            print(f"{said}: {name}")
    for name in found.other_shape:
        print(f"of another shape: {name}")
    if found.total is not None:
        print(f"\n{'cosine':>8}  {'distance':>8}")
        for name, near in (*found.layers.items(), ("all of them", found.total)):
            print(f"{near.cosine:8.4f}  {near.distance:8.4f}  {name}")


def extract(
    tuned: Annotated[str, typer.Argument(metavar="TUNED", help="A tuned model, or a run of full fine-tuning.")],
    output: Output,
    base: Annotated[str | None, typer.Option(help="What it was tuned from.", show_default="the run's")] = None,
    rank: Annotated[int | None, typer.Option(help="Of each layer; with --share, the most.")] = None,
    share: Annotated[float | None, typer.Option(help="Of the squared change of each layer, 0.9 for example.")] = None,
    as_json: Json = False,
) -> None:
    """Draw a LoRA out of a fully tuned model by SVD, say what it misses, and compare the outputs."""
    from dataclasses import asdict

    from tunesmith.combine.extract import Size, refuse_size
    from tunesmith.combine.extract import extract as extracted
    from tunesmith.core.files import dump

    refuse_size(size := Size(rank, share))
    done = extracted(*_opened(tuned, base), output, size)
    if as_json:
        print(dump(asdict(done) | {"folder": str(done.folder)}), end="")
    else:
        _print_extracted(done)


def _opened(tuned: str, base: str | None) -> tuple["Base", "Base"]:
    """-> the tuned model and its base, both in float32."""
    import torch

    from tunesmith.bases import load_base
    from tunesmith.cli.ending import to_stderr
    from tunesmith.core.errors import UserError
    from tunesmith.loaded import finished_run
    from tunesmith.opening import RECIPE

    place, allowed = tuned, False
    if (Path(tuned) / RECIPE).is_file():
        recipe, artifact = finished_run(Path(tuned))
        if recipe.method.kind != "full":
            raise UserError(f"{tuned}: this run made an adapter already, {artifact}")
        place, base, allowed = str(artifact), base or recipe.base, recipe.allow_download
    if base is None:
        raise UserError(f"{tuned}: does not say what it was tuned from; name it with --base")
    first = load_base(place, dtype=torch.float32, say=to_stderr)
    return first, load_base(base, dtype=torch.float32, allow_download=allowed, say=to_stderr)


def _print_extracted(done: "Extracted") -> None:
    print(f"{'error':>8}  {'rank':>5}  layer")
    for name, layer in done.layers.items():
        print(f"{layer.error:8.2%}  {layer.rank:5}  {name}")
    for name in done.left:
        print(f"{1:8.0%}  {'-':>5}  {name} (no low rank is drawn from it)")
    print(f"{done.error:8.2%}  of all that changed is not in the adapter (Frobenius norm)")
    print(f"read again in a fresh process; from the tuned model it is away: {done.with_adapter}")
    print(f"the base alone is away: {done.without}")
    print(done.folder)


def _summary(parts: "Parts") -> dict[str, Any]:
    return {
        "folder": str(parts.folder),
        "id": parts.id,
        "kind": parts.kind,
        "base": parts.base,
        "fingerprint": parts.fingerprint,
        "ranks": parts.ranks,
        "tensors": len(parts.tensors),
        "parameters": sum(tensor.numel() for tensor in parts.tensors.values()),
        "bytes": parts.bytes,
    }


def _row(parts: "Parts") -> list[str]:
    from tunesmith.report.numbers import size

    ranks = parts.ranks
    rank = "" if not ranks else f"rank {ranks[0]}" if len(ranks) == 1 else f"ranks {ranks[0]} to {ranks[-1]}"
    return [parts.id[:SHORT], parts.kind, rank, size(parts.bytes), parts.base or "unknown base", str(parts.folder)]


def _columns(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _numbers(words: str | None, count: int) -> tuple[float, ...]:
    from tunesmith.core.errors import UserError

    if words is None:
        return (1.0,) * count
    try:
        return tuple(float(word) for word in words.split(","))
    except ValueError:
        raise UserError(f"--weights: `{words}` is not a list of numbers; write them as 1,0.5,-1") from None


COMMANDS = {"list": list_, "info": info, "combine": combine, "diff": diff, "extract": extract}
"""The commands of the group, by name."""
