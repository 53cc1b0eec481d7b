"""`tunesmith bases`: what can be asked for by name, and what is here."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tunesmith.catalogue.entries import Entry


def bases(
    get: Annotated[
        str | None, typer.Option(metavar="NAME", help="Download it now: a name of the list, or a hub id (owner/model).")
    ] = None,
    advise: Annotated[
        str | None,
        typer.Option(
            metavar="DATA", help="Say which base on this machine starts best on these rows, and which cannot."
        ),
    ] = None,
    base: Annotated[
        list[str] | None,
        typer.Option(metavar="BASE", help="With --advise: a folder, file or name beside those. May be given again."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the models and data sets that have a name here: pinned, checked, with licence and source."""
    if advise is not None:
        from tunesmith.cli.advice import print_advice

        print_advice(advise, base or [], as_json)
    elif get is not None:
        _get(get)
    elif as_json:
        from tunesmith.core.files import dump

        print(dump(_listed()), end="")
    else:
        _print()


def _get(name: str) -> None:
    from tunesmith.catalogue.entries import CATALOGUE, entry
    from tunesmith.catalogue.fetch import fetch
    from tunesmith.cli.ending import to_stderr
    from tunesmith.cli.quiet import allow_hub

    if name not in CATALOGUE and "/" in name:
        allow_hub()
        from tunesmith.bases import resolve

        print(resolve(name, allow_download=True, say=to_stderr).path)
        return
    to_stderr(entry(name).label)
    print(fetch(name, allow_download=True, say=to_stderr))


def _listed() -> list[dict[str, object]]:
    from tunesmith.catalogue.entries import CATALOGUE
    from tunesmith.catalogue.fetch import is_here

    def row(e: "Entry") -> dict[str, object]:
        return {"name": e.name, "kind": e.kind, "about": e.about, "licence": e.licence, "source": e.source,
                "note": e.note, "download_bytes": e.size, "here": is_here(e.name)}  # fmt: skip

    return [row(e) for e in CATALOGUE.values()]


def _print() -> None:
    from tunesmith.catalogue.entries import CATALOGUE
    from tunesmith.catalogue.fetch import is_here
    from tunesmith.report.numbers import size

    for e in CATALOGUE.values():
        here = "in this package" if e.package is None else "here" if is_here(e.name) else f"{size(e.size)} to download"
        print(f"{e.name} ({e.kind}, {here})")
        print(f"  {e.about}")
        print(f"  licence: {e.licence}")
        print(f"  source:  {e.source}")
        print(f"  note:    {e.note}")
    print(
        "\nAny folder of safetensors or GGUF file is a base too, and a hub id. Commands open no connection: get what is"
    )
    print("not here with `tunesmith bases --get NAME`, or with allow_download=true in a recipe.")
