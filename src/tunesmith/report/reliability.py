"""The section of the report that shows whether a classifier is as often right as it is sure."""

from collections.abc import Sequence
from typing import Any

from tunesmith.report.answer import number
from tunesmith.report.folder import RunFiles
from tunesmith.report.markup import Html, element, joined, paragraph, table
from tunesmith.report.numbers import metric, share
from tunesmith.report.svg import drawing

_SIDE, _EDGE, _FOOT = 330.0, 44.0, 40.0
Bins = Sequence[tuple[float, float, float]]
"""Of each bin its items, the mean confidence, and the share that was right."""


def reliability(files: RunFiles) -> Html | None:
    """-> base and tuned model side by side, and what one temperature would change; None when nothing was classified."""
    found = files.evaluation.get("calibration")
    if not isinstance(found, dict):
        return None
    sides = [(title, _bins(found.get(side))) for side, title in (("before", "Base"), ("after", "Tuned"))]
    both = [
        element("div", element("h3", title), element("figure", Html(_chart(title, bins))), class_="half")
        for title, bins in sides
        if bins
    ]
    if not both:
        return None
    note = (
        "Each dot is a fifteenth of the rows: to the right how sure the model was of its label, upwards how often that "
        "was right. On the line the two agree; below it the model is too sure of itself."
    )
    after = sides[1][1]
    rows = [[f"{items:,.0f}", share(sure), share(right), share(right - sure)] for items, sure, right in after]
    shown = table(["Rows", "Sure", "Right", "Apart"], rows, numbers=(0, 1, 2, 3)) if rows else Html("")
    return joined([element("div", *both, class_="halves"), paragraph(note, class_="note"), shown, _tempered(found)])


def _bins(value: Any) -> Bins:
    if not isinstance(value, list):
        return []
    keys = ("items", "confidence", "accuracy")
    found = [tuple(number(one, key) for key in keys) for one in value]
    return [(a, b, c) for a, b, c in found if a is not None and b is not None and c is not None]


def _tempered(found: dict[str, Any]) -> Html:
    given = found.get("with_temperature")
    heat, error, loss = (number(given, key) for key in ("temperature", "ece", "loss"))
    if heat is None or error is None or loss is None:
        return Html("")
    return paragraph(
        f"Divided by the temperature {heat:.2f}, which the validation rows ask for, the scores would have a "
        f"calibration error of {metric('ece').value(error)} and a loss of {metric('loss').value(loss)}. "
        "The labels would stay the same. It is not applied.",
        class_="note",
    )


def _chart(title: str, bins: Bins) -> str:
    span = _SIDE - _EDGE - 12

    def x(value: float) -> float:
        return _EDGE + span * value

    def y(value: float) -> float:
        return 12 + span * (1 - value)

    marks = [
        f'<text class="tick" x="{x(v):.1f}" y="{y(0) + 18:.1f}" text-anchor="middle">{100 * v:g} %</text>'
        f'<text class="tick" x="{_EDGE - 6}" y="{y(v) + 4:.1f}" text-anchor="end">{100 * v:g}</text>'
        f'<line class="grid" x1="{x(0)}" x2="{x(1)}" y1="{y(v):.1f}" y2="{y(v):.1f}"/>'
        for v in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    line = f'<line class="axis" x1="{x(0)}" y1="{y(0)}" x2="{x(1)}" y2="{y(1)}"/>'
    dots = [
        f'<circle class="held-dot" cx="{x(sure):.1f}" cy="{y(right):.1f}" r="4.5">'
        f"<title>{items:,.0f} rows: {share(sure)} sure, {share(right)} right</title></circle>"
        for items, sure, right in bins
    ]
    name = f'<text class="name" x="{x(1)}" y="{_SIDE + _FOOT - 44:.0f}" text-anchor="end">sure</text>'
    words = f"{title}: how sure, against how often right"
    return drawing("measure", words, "", "".join([*marks, line, *dots, name]), (_SIDE, _SIDE))
