"""`tunesmith card`: the papers of a run, written again after more was measured."""

from typing import Annotated

import typer

from tunesmith.cli.report import Run


def card(
    run: Run,
    policy: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="Put the verdict by this policy into the card.")
    ] = None,
) -> None:
    """Write MODEL_CARD.md and bom.json (CycloneDX 1.6) of a finished run from what was measured and recorded.

    What was not measured or never stated is named as such. Prints the two paths.
    """
    from tunesmith.release.papers import write_papers

    print("\n".join(map(str, write_papers(run, policy))))
