"""`tunesmith predict`: the label, the value or the reward of texts."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tunesmith.scorer import Scorer


def predict(
    model: Annotated[
        str, typer.Argument(metavar="RUN", help="A run, an adapter or a model folder that scores.", show_default=False)
    ],
    text: Annotated[list[str] | None, typer.Option(help="A text to score; may be given several times.")] = None,
    source: Annotated[
        Path | None, typer.Option("--input", help="Rows with `text`, or for rewards `prompt` and `completion`.")
    ] = None,
    base: Annotated[str | None, typer.Option(help="The base, when it lies elsewhere now.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Score texts with a classifier, a regression or a reward model."""
    from tunesmith.core.errors import UserError

    if bool(text) == (source is not None):
        raise UserError("predict: give one of --text and --input")

    from tunesmith.cli.ending import to_stderr
    from tunesmith.scorer import load_scorer

    scorer = load_scorer(model, base=base, say=to_stderr)
    for row, said in _scored(scorer, text or [], source):
        print(json.dumps({**row, **said}, ensure_ascii=False) if as_json else _line(row, said), flush=True)


def _scored(scorer: "Scorer", texts: list[str], source: Path | None) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    from tunesmith.core.errors import UserError
    from tunesmith.data.rows import read_rows

    rows: list[dict[str, Any]] = [{"text": text} for text in texts]
    if source is not None:
        rows = [dict(row.values) for row in read_rows(source)]
    if not scorer.rewards_answers:
        yield from zip(rows, scorer.score(rows), strict=True)
        return
    for number, row in enumerate(rows, 1):
        if not all(isinstance(row.get(key), str) for key in ("prompt", "completion")):
            raise UserError(f"row {number}: a reward model reads `prompt` and `completion`; give them by --input")
    rewards = scorer.rewards([(row["prompt"], row["completion"]) for row in rows])
    yield from zip(rows, [{"reward": reward} for reward in rewards], strict=True)


def _line(row: dict[str, Any], said: dict[str, Any]) -> str:
    asked = " ".join(str(row.get("text", row.get("completion", ""))).split())
    shown = asked if len(asked) <= 60 else asked[:59] + "\u2026"
    if "label" not in said:
        (number,) = said.values()
        return f"{number:10.4g}  {shown}"
    sure = said["probabilities"]
    others = ", ".join(f"{name} {100 * p:.0f} %" for name, p in sure.items() if name != said["label"])
    return f"{said['label']} {100 * sure[said['label']]:.0f} %  ({others})  {shown}"
